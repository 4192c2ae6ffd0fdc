package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
)

// authorization is the class of SQLSTATEs by which a log-in fails for who the client is.
const authorization = "28"

// audited lets a session say when its client has logged in, and when it has failed to.
func (s *Server) audited(ctx context.Context, session *Session, log *slog.Logger) {
	who := func() []any {
		return []any{"user", session.user, "database", session.database, "class", session.class.String(),
			"method", session.access.Method.String(), "rule", session.access.Rule,
			"tls_subject", subjectOf(session.conn), "peer", addrString(session.clientAddr)}
	}
	session.onProved = func() {
		s.proved.Add(1)
		log.Info("authenticated", who()...)
	}
	session.onRefused = func(e *pgerror.Error) {
		s.failures.add(loginReasonOf(e))
		s.failureLines.say(log, slog.LevelWarn, "log-in failed", append(who(), "code", string(e.Code), "err", e)...)
		_ = deadline.Sleep(ctx, s.limits.Load().AuthDelay)
	}
}

// Refused notes that the log-in has failed, before the client is told. It counts that, says it in the log within a
// quota, and blocks for auth.delay, or until the session is to end, so that guesses are slow. Only a client's own
// failure counts: a SQLSTATE of class 28, or a wrong proof whatever its SQLSTATE, as during an outage of the primary.
// Other refusals, and those of one that has logged in, pass at once.
func (s *Session) Refused(e *pgerror.Error) {
	if e == nil || s.proved.Load() || s.onRefused == nil {
		return
	}
	if isGuess(e) || strings.HasPrefix(string(e.Code), authorization) {
		s.onRefused(e)
	}
}

// subjectOf returns the distinguished name of the certificate that a client has shown, "" for none.
func subjectOf(conn net.Conn) string {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return ""
	}
	if chain := secure.ConnectionState().PeerCertificates; len(chain) > 0 {
		return chain[0].Subject.String()
	}
	return ""
}
