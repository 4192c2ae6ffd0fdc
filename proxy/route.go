package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy/relay"
)

// dialTimeout bounds the way to the primary, all its hosts included, the wait for one apart. Most drivers give up on a
// connection after 10 to 30 seconds; they should hear from us before.
const dialTimeout = 10 * time.Second

// redialDelay lies between two log-ins at a primary that takes no connections yet: one that has started is
// noticed at once by human standards.
const redialDelay = 100 * time.Millisecond

// route sends a session to the room that serves its class, and blocks until it is over. An error that the client has to
// be told is marked by [Tell].
func (s *Server) route(ctx context.Context, req *handshake.Request, session *Session, log *slog.Logger) error {
	if _, member := req.Conn.(interface{ Member() string }); member && req.Class != handshake.PhysicalWalsender {
		return Tell(pgerror.Fatal(pgerror.InvalidAuthorization, "members of the cluster may only stream WAL here"))
	}
	if session.access.Method == access.SCRAM {
		if err := s.authenticate(ctx, req, session); err != nil {
			return err
		}
		session.Proved()
	}
	if s.o.Console != nil && req.Class == handshake.Regular && req.Params.Get("database") == ConsoleDatabase {
		if err := s.o.Console.ServeConsole(ctx, req, session); err != nil {
			return fmt.Errorf("serve console: %w", err)
		}
		return nil
	}
	if req.Class != handshake.PhysicalWalsender {
		return s.relay(ctx, req, session, log)
	}
	if s.o.Physical == nil {
		return Tell(pgerror.Fatal(pgerror.FeatureNotSupported, "physical replication is not served here"))
	}
	err := s.o.Physical.ServeWalsender(ctx, req, session)
	if err != nil {
		return fmt.Errorf("serve walsender: %w", err)
	}
	return nil
}

// authenticate lets the client prove itself here, and blocks for that. After nil session.verified is set. An error that
// the client has to be told is marked by [Tell].
func (s *Server) authenticate(ctx context.Context, req *handshake.Request, session *Session) (err error) {
	if s.o.Roles == nil { // accepted by SIGHUP while auth.method waits for a restart
		return Tell(pgerror.Fatal(pgerror.InvalidAuthorization,
			"access rule %d wants scram-sha-256, which is not in force: auth.method needs a restart",
			session.access.Rule))
	}
	if session.verified, err = s.verify(ctx, req); err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	if e := session.verified.Role.MayLogIn(); e != nil {
		return Tell(e)
	}
	return nil
}

// relay joins the client to the primary. One that is starting up or shutting down is asked again until
// ConnectWait is over: then the client gets the primary's own words.
func (s *Server) relay(ctx context.Context, req *handshake.Request, session *Session, log *slog.Logger) error {
	ctx, turn, err := s.takeTurn(ctx, session)
	if err != nil {
		return err
	}
	defer turn.over()
	began := time.Now()
	until := s.outage.until(session.began, began, s.o.ConnectWait())
	again := func() bool { return time.Until(until) > redialDelay }
	var left grace
	for delay := time.Duration(0); ; delay = redialDelay {
		var up *relay.Upstream
		err := attended(ctx, session.conn, &left, nil, func(ctx context.Context) (err error) {
			up, err = s.dial(ctx, delay, until)
			return err
		})
		switch {
		case errors.Is(err, errHungUp):
			return err
		case err != nil:
			if ctx.Err() == nil && !descriptors.IsShort(err) {
				s.outage.found(began)
			}
			if session.proved.Load() {
				s.dialLines.repeat(log, slog.LevelWarn, "cannot connect to the primary", "err", err)
			} else {
				s.dialLines.say(log, slog.LevelWarn, "cannot connect to the primary", "err", err)
			}
			if descriptors.IsShort(err) {
				return Tell(errTooManyClients().WithDetail("replproxy has too many open files.").WithCause(err))
			}
			return Tell(relay.Unreachable(err))
		}
		err = s.join(ctx, req, session, up, turn, again)
		if !errors.Is(err, relay.ErrAgain) {
			return err
		}
		s.outage.found(began)
	}
}

// join relays one session over one connection.
func (s *Server) join(ctx context.Context, req *handshake.Request, session *Session, up *relay.Upstream,
	turn *turn, again func() bool) error {
	session.SetUpstream(up)
	var withdraw func()
	defer func() {
		if withdraw != nil {
			withdraw()
		}
	}()
	_, clientTLS := req.Conn.(*tls.Conn)
	return relay.Run(ctx, relay.Options{
		Client: req.Conn, ClientTLS: clientTLS, Certificate: req.Certificate,
		Upstream: up, Startup: s.startup(req, session), Engine: s.engine,
		Verified: session.verified, OnRefusal: s.refusal(session),
		Trusted:      session.access.Method == access.Trust,
		LoginTimeout: s.o.AuthenticationTimeout,
		Again:        again,
		OnFailure: func(e *pgerror.Error) {
			turn.gate.Leave(turn.ticket) // nobody waits for the client's punishment
			session.Refused(e)
		},
		On: func(e relay.Event) {
			if e == relay.Asked || e == relay.Authenticated {
				s.outage.over()
			}
			turn.on(e)
		},
		OnKey: func(pid uint32, key []byte) { // before the client hears that it is in
			session.Proved()
			send := sendCancel(up.Cancel)
			if send == nil {
				send = s.cancelAtPrimary
			}
			withdraw = s.cancels.add(pid, key, session.cancelHere(send))
		},
		Serve:      s.serveDatabase(req, session),
		OnReady:    func() { session.SetState(StateActive) },
		OnEnd:      session.endedBy,
		FromClient: &session.FromClient, ToClient: &session.ToClient,
	})
}

// serveDatabase returns the function that serves a logical walsender after its log-in; nil for others.
func (s *Server) serveDatabase(req *handshake.Request, session *Session) func(context.Context, relay.Legs) error {
	if s.o.Database == nil || req.Class != handshake.LogicalWalsender {
		return nil
	}
	return func(ctx context.Context, legs relay.Legs) error {
		return s.o.Database.ServeDatabase(ctx, req, session, legs)
	}
}

// startup returns the packet for the primary: the client's own. Where the client has been answered before the primary,
// what was to be negotiated has been, and is not a part of it.
func (s *Server) startup(req *handshake.Request, session *Session) []byte {
	if session.verified == nil {
		return req.Raw
	}
	_, packet := req.Negotiate(s.o.NewestMinor())
	return packet
}

// refusal returns the function that is called when the primary refuses a client that was verified here. It has the role
// asked for again. nil: the client was not verified here.
func (s *Server) refusal(session *Session) func() {
	if session.verified == nil {
		return nil
	}
	return func() { s.o.Roles.Suspect(session.user) }
}

// dial connects after a delay. It waits for a primary until a time, and is done dialTimeout after that.
func (s *Server) dial(ctx context.Context, delay time.Duration, until time.Time) (*relay.Upstream, error) {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	wait := max(0, time.Until(until))
	ctx, stop := context.WithTimeout(ctx, wait+dialTimeout)
	defer stop()
	return s.o.Upstream.Dial(ctx, wait)
}
