package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
)

// serve owns one connection from accept to its last log line. It begins as a member of the startups
// group, which leave ends; leaveStarting takes it out of the list of those that may be dropped.
func (s *Server) serve(conn net.Conn, at string, leaveStarting func() bool, leave func()) {
	defer leave()
	defer conn.Close()
	defer leaveStarting()
	defer s.contain(conn)
	s.tune(conn)
	accept := handshake.Options{AuthenticationTimeout: s.o.AuthenticationTimeout, NewestMinor: s.o.NewestMinor()}
	_, member := conn.(interface{ Member() string }) // which has proved itself within TLS
	if s.o.TLS != nil && !member {
		accept.TLS = s.o.TLS.Config
	}
	req, err := handshake.Accept(s.startups.ctx, conn, accept)
	if stayed := leaveStarting(); err != nil {
		if !stayed {
			err = errCrowdedOut
		}
		s.refusals.add(reasonOf(err))
		s.logRefused(conn, err)
		var refused *handshake.RefusedError
		if errors.As(err, &refused) {
			linger(refused.Conn)
		}
		return
	}
	defer req.Conn.Close() // within TLS, where there is some
	if req.Class == handshake.Cancel {
		if err := s.cancel(s.startups.ctx, req); err != nil {
			s.cancelLines.say(s.log, slog.LevelInfo, "cancel request not delivered",
				"peer", addrString(conn.RemoteAddr()), "err", err)
		}
		return
	}
	decision := access.Decision{Method: access.Relay}
	if !member {
		decision = s.judge(at, req)
	}
	if e := decision.Refusal; e != nil {
		s.refusals.add(ReasonAccess)
		s.logRefused(conn, e)
		respond(req.Conn, e)
		return
	}
	g := s.groupOf(req.Class)
	g.wg.Add(1) // before leave: drain waits for the startups first
	defer g.wg.Done()
	leave()
	s.session(g, at, req, decision)
}

// judge decides by the rules of the listener, then by what the connection itself must be: a rule with
// reject asks for its certificate first, as PostgreSQL does.
func (s *Server) judge(at string, req *handshake.Request) access.Decision {
	d := access.Decision{Method: access.Relay}
	if s.o.Access != nil {
		d = s.o.Access.Decide(at, req)
	}
	if s.o.TLS != nil {
		if e := s.o.TLS.Admit(req, d.ClientCert, d.ClientName); e != nil {
			d = access.Decision{Refusal: e}
		}
	}
	return d
}

var errGaveWay = errors.New("ended to make room: a limit was reached, and it had not logged in")

var errCrowdedOut = errors.New("dropped to make room: too many connections without a startup packet")

// session serves a request within its group, under the limit of sessions.
func (s *Server) session(g *group, at string, req *handshake.Request, decision access.Decision) {
	session := &Session{
		began: time.Now(), class: req.Class, user: req.User(), database: req.Database(),
		clientAddr: req.Conn.RemoteAddr(), conn: req.Conn, ssl: handshake.SSLOf(req.Conn), cancels: &s.cancels,
		applicationName: req.ApplicationName(), access: decision,
	}
	if req.Class == handshake.LogicalWalsender {
		session.physical = s.judge(at, req.Walsender())
	}
	ctx, end := context.WithCancelCause(g.ctx)
	defer end(nil)
	session.giveWay = func() { end(errGaveWay) }
	session.leave = func() { end(errOldPrimary) }
	if why, e := s.sessions.add(session, *s.limits.Load()); e != nil {
		s.refusals.add(why)
		s.logRefused(req.Conn, e)
		respond(req.Conn, e)
		return
	}
	log := s.log.With("session_id", uint64(session.id))
	s.audited(ctx, session, log)
	var err error
	ended := false // without a panic, which is logged otherwise
	defer func() {
		s.sessions.remove(session)
		_ = req.Conn.Close()
		if ended {
			s.logEnd(log, session, err)
		}
	}()
	log.Debug("session began", "class", session.class.String(), "user", session.user,
		"database", session.database, "application_name", session.applicationName,
		"peer", addrString(session.clientAddr), "method", decision.Method.String(), "rule", decision.Rule)
	err = s.route(ctx, req, session, log)
	ended = true
	session.SetState(StateEnding)
	if errors.Is(context.Cause(ctx), errGaveWay) {
		s.refusals.add(ReasonCrowded)
		why := errGaveWay
		if isGuess(err) {
			why = fmt.Errorf("%w: %w", errGaveWay, err) // which still counts
		}
		err = Tell(errTooManyClients().WithDetail("Others wait, and this one had not logged in.").WithCause(why))
	}
	if e := owed(err); e != nil {
		session.Refused(e)
		respond(req.Conn, e)
	}
}

// logEnd writes the one line about a session's end. Losing a client is everyday life. Only so many are written about
// those that have not logged in.
func (s *Server) logEnd(log *slog.Logger, session *Session, err error) {
	info := session.Info()
	why := session.closed()
	if err != nil {
		why = err.Error()
	}
	attrs := []any{"why", why, "class", info.Class.String(), "user", info.User,
		"database", info.Database, "application_name", info.ApplicationName, "peer", info.ClientAddr,
		"duration", time.Since(info.Began).Round(time.Microsecond)}
	if info.Class != handshake.PhysicalWalsender { // their bytes are counted by the hub, per standby
		attrs = append(attrs, "from_client", info.FromClient, "to_client", info.ToClient)
	}
	if session.proved.Load() {
		log.Info("session ended", attrs...)
	} else {
		s.endLines.say(log, slog.LevelInfo, "session ended", attrs...)
	}
}

// logRefused writes the one line about a connection that became no session. Anybody who reaches the port can cause
// them, so that only so many are written. A peer that said nothing is a health check.
func (s *Server) logRefused(conn net.Conn, err error) {
	attrs := []any{"peer", addrString(conn.RemoteAddr()), "err", err}
	if errors.Is(err, handshake.ErrNoData) {
		s.log.Debug("connection refused", attrs...)
		return
	}
	s.lines.say(s.log, slog.LevelInfo, "connection refused", attrs...)
}

// contain keeps a panic within its session.
func (s *Server) contain(conn net.Conn) {
	if p := recover(); p != nil {
		s.log.Error("panic in session", "peer", addrString(conn.RemoteAddr()), "panic", p,
			"stack", string(debug.Stack()))
	}
}
