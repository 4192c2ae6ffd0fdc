package physical

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
)

// session is one physical walsender from its startup packet to its end. Its goroutine owns
// everything but what mu guards.
type session struct {
	// Fixed after construction.
	h       *Handler
	req     *handshake.Request
	server  Session
	console Console // nil: this is a walsender
	client  *client
	started time.Time
	// database is set for a session of replication=database.
	database *database

	// Owned by the session's goroutine.
	link       *link // nil before the log-in, for a member of the cluster, and until one verified here needs it
	parameters map[string]string
	stored     map[string]string // settings that the stored WAL tells, for a member of the cluster
	version    grammar.Version
	identified bool      // IDENTIFY_SYSTEM has succeeded
	program    bool      // it has sent a command that no server sends: it is one of PostgreSQL's client programs
	until      time.Time // how long it waits for the proxy to hear from its primary; zero: it has not begun
	withdraw   func()
	status     byte // of the transaction, for a session on a database

	mu          sync.Mutex
	command     context.CancelCauseFunc // of the command that runs, nil: none
	interrupted *pgerror.Error          // ends whatever runs, now and later
}

// serve runs the session. A *pgerror.Error is owed to the client.
func (s *session) serve(ctx context.Context) error {
	defer func() {
		if s.link != nil {
			s.link.close()
		}
		if s.withdraw != nil {
			s.withdraw()
		}
		s.h.o.Hub.DropTemporary(s.server.PID())
	}()
	var err error
	if name := member(s.client.conn); name != "" {
		err = s.welcome(name)
	} else if err = s.h.o.Hub.Yields(s.req.Params.Get("application_name")); err != nil {
		return err
	} else if v := s.server.Verified(); v != nil {
		err = s.admit(ctx, v)
	} else {
		err = s.logIn(ctx)
	}
	if err != nil {
		return err
	}
	if s.version, err = serverVersion(s.parameters["server_version"]); err != nil {
		return errUnknownVersion(err)
	}
	s.server.SetApplicationName(s.parameters["application_name"])
	if s.link != nil {
		s.server.SetUpstream(s.link.up)
	}
	s.server.SetState(proxy.StateActive)
	if s.console == nil {
		return s.loop(ctx)
	}
	if s.link != nil {
		s.link.close()
	}
	return s.converse(ctx)
}

func (s *session) clientTLS() bool {
	_, ok := s.client.conn.(*tls.Conn)
	return ok
}

// parameter remembers a ParameterStatus.
func (s *session) parameter(body []byte) { noteParameter(s.parameters, body) }

func noteParameter(known map[string]string, body []byte) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	value, _, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 {
		return
	}
	if _, has := known[string(name)]; has || len(known) < maxParameters {
		known[string(name)] = string(value)
	}
}

// cancel ends the command that runs, as a CancelRequest with the session's key asks; without one it does nothing.
func (s *session) cancel() { s.cancelled() }

// cancelled ends the command that runs, and reports whether one did.
func (s *session) cancelled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.command != nil {
		s.command(pgerror.New(pgerror.QueryCanceled, "canceling statement due to user request"))
	}
	return s.command != nil
}

// interrupt ends the command that runs, and each that begins later, with e.
func (s *session) interrupt(e *pgerror.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interrupted == nil {
		s.interrupted = e
	}
	if s.command != nil {
		s.command(s.interrupted)
	}
}

// begin makes the context of a command: a CancelRequest ends it with 57014. It does not end with
// the server's shutdown: see drainable.
func (s *session) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.command = cancel
	if s.interrupted != nil {
		cancel(s.interrupted)
	}
	s.mu.Unlock()
	return ctx, func() {
		s.mu.Lock()
		s.command = nil
		s.mu.Unlock()
		cancel(nil)
	}
}

// info returns the session's entry for the hub while it streams.
func (s *session) info() fanout.SessionInfo {
	addr := ""
	if a := s.client.conn.RemoteAddr(); a != nil && a.Network() != "unix" {
		addr = a.String()
	}
	timeout, own := s.walSenderTimeout()
	return fanout.SessionInfo{
		PID: s.server.PID(), User: s.req.User(), ApplicationName: s.parameters["application_name"],
		ClientAddr: addr, WalSenderTimeout: timeout, OwnTimeout: own, Started: s.started,
		Member: member(s.client.conn) != "",
	}
}

func errUnknownVersion(cause error) *pgerror.Error {
	return pgerror.Fatal(pgerror.InternalError, "the primary did not tell a version that replproxy knows").
		WithCause(cause)
}

var errVersion = errors.New("unknown server_version")

// serverVersion turns ParameterStatus server_version ("15.18 (Debian 15.18-1)", "18beta1") into
// server_version_num.
func serverVersion(text string) (grammar.Version, error) {
	number, _, _ := strings.Cut(text, " ")
	major, minor, _ := strings.Cut(number, ".")
	if i := strings.IndexFunc(major, notDigit); i >= 0 {
		major, minor = major[:i], "0" // a beta, or "devel"
	}
	if i := strings.IndexFunc(minor, notDigit); i >= 0 {
		minor = minor[:i]
	}
	m, err := strconv.Atoi(major)
	if err != nil || m < 10 || m > 99 {
		return 0, fmt.Errorf("%w %q", errVersion, text)
	}
	n, err := strconv.Atoi("0" + minor)
	if err != nil || n > 9999 {
		return 0, fmt.Errorf("%w %q", errVersion, text)
	}
	return grammar.Version(m*10000 + n), nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
