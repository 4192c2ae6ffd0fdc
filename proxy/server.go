package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// Server accepts connections and sees each of them through to its end. Make it with New. Its methods
// may be called from any goroutine, Run once.
type Server struct {
	o   Options
	log *slog.Logger

	engine   *relay.Engine
	sessions *sessions
	cancels  cancels
	// cancelTurns are for keys that were issued here, strangeCancelTurns for others.
	cancelTurns, strangeCancelTurns *cancelTurns
	starting                        starting
	// Quotas of log lines that strangers cause, one for each kind, so that none hides another. The kinds are refused
	// connections, cancel requests, failed log-ins, sessions that end before a log-in, and log-ins without a primary.
	lines, cancelLines, failureLines, endLines, dialLines quota

	// The groups end one after the other: see drain.go.
	startups, relays, physicals *group

	limits   atomic.Pointer[Limits]
	logins   *gate.Gate // of relayed sessions
	outage   outage
	refusals refusals
	failures loginFailures
	proved   atomic.Int64 // log-ins that succeeded
	accepted atomic.Int64
	ready    chan struct{} // closed when the listeners are being served
}

// Counts are totals since New.
type Counts struct {
	Accepted  int64   // connections
	Refused   int64   // connections that became no session
	Starting  int     // connections within the startup packet, now
	RefusedBy []int64 // the refused ones in the order of Reasons
	Failures  int64   // log-ins that failed for who the client is
	FailedBy  []int64 // the same in the order of LoginReasons
	Proved    int64   // log-ins that succeeded
	// FromClients and ToClients are bytes that were relayed, also of sessions that are over.
	FromClients, ToClients int64
	Logins                 gate.Status // log-ins of relayed sessions
}

// New checks the options and starts nothing. An error names the option, or is of the system: the relay takes
// descriptors.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	engine, err := relay.NewEngine()
	if err != nil {
		return nil, fmt.Errorf("make proxy server: %w", err)
	}
	s := &Server{
		o: o, log: o.Logger, engine: engine,
		sessions:    newSessions(o.Node),
		cancelTurns: newCancelTurns(maxCancels), strangeCancelTurns: newCancelTurns(maxStrangeCancels),
		starting: starting{limit: o.MaxStarting},
		startups: newGroup(), relays: newGroup(), physicals: newGroup(),
		ready: make(chan struct{}), logins: gate.New(o.Limits.MaxLogins),
	}
	s.limits.Store(&o.Limits)
	return s, nil
}

// Loops returns the number of processors of Go's scheduler that the relay may keep for itself (relay.Engine.Loops).
func (s *Server) Loops() int { return s.engine.Loops() }

// Ready returns a channel that is closed once Run serves the listeners.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Sessions returns the living sessions, oldest first.
func (s *Server) Sessions() []SessionInfo {
	all := s.sessions.list()
	infos := make([]SessionInfo, len(all))
	for i, session := range all {
		infos[i] = session.Info()
	}
	return infos
}

// errOldPrimary ends a relayed session while its server lives.
var errOldPrimary = errors.New("its server is an old primary")

// EndRelayed ends the sessions that are relayed to the server of that name, as [relay.Upstream] has it. Once a client
// is logged in, only a closed connection tells it that. It returns how many there were, and waits for none.
func (s *Server) EndRelayed(name string) (n int) {
	for _, session := range s.sessions.list() {
		if info := session.Info(); info.Class != handshake.PhysicalWalsender && info.Upstream == name {
			go session.leave()
			n++
		}
	}
	return n
}

// Counts returns the totals now.
func (s *Server) Counts() Counts {
	s.starting.mu.Lock()
	n := s.starting.conns.Len()
	s.starting.mu.Unlock()
	by, refused := s.refusals.counts()
	failed, failures := s.failures.counts()
	from, to := s.sessions.relayed()
	return Counts{
		FailedBy: failed, Proved: s.proved.Load(), FromClients: from, ToClients: to,
		Accepted: s.accepted.Load(), Refused: refused, RefusedBy: by,
		Failures: failures, Starting: n, Logins: s.logins.Status(),
	}
}

// Run serves until ctx is done, drains, and returns when every connection is closed and every
// goroutine has ended: nil after ctx, or why a listener failed.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.o.Listeners))
	var acceptors sync.WaitGroup
	acceptCtx, stopAccepting := context.WithCancel(ctx)
	for _, l := range s.o.Listeners {
		acceptors.Go(func() { failed <- s.accept(acceptCtx, l) })
	}
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	engine := make(chan error, 1)
	go func() { engine <- s.engine.Run(engineCtx) }()
	close(s.ready)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-engine:
		engine <- nil
	}
	s.drain(func() {
		stopAccepting()
		for _, l := range s.o.Listeners {
			_ = l.Close()
		}
		acceptors.Wait()
	})
	stopEngine()
	return errors.Join(err, <-engine)
}

// accept serves one listener until it is closed. What may pass by itself is waited out.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	at := ""
	if named, ok := l.(*Listener); ok {
		at = named.Address
	}
	l = descriptors.Patient(l, s.log)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		s.accepted.Add(1)
		s.begin(conn, at)
	}
}

// warnShort says, a bounded number of times, that there is no descriptor for a client.
func (s *Server) warnShort(conn net.Conn) {
	s.lines.say(s.log, slog.LevelWarn, "too many open files: a connection is refused",
		"peer", addrString(conn.RemoteAddr()))
}

// begin starts the goroutine of one connection, which came in at a listener's address. When descriptors run short
// somebody makes room; if nobody can, conn is not served.
func (s *Server) begin(conn net.Conn, at string) {
	if s.o.Tight(conn) {
		defer time.Sleep(roomDelay)
		if !s.MakeRoom() {
			s.refusals.add(ReasonCrowded)
			s.warnShort(conn)
			_ = conn.Close()
			return
		}
	}
	s.startups.wg.Add(1)
	leave := s.starting.enter(conn)
	go s.serve(conn, at, leave, sync.OnceFunc(s.startups.wg.Done))
}

// tune sets the keepalives and timeouts of the configuration for a client's connection. TCP_NODELAY is Go's default,
// and a backend's.
func (s *Server) tune(conn net.Conn) {
	if err := s.limits.Load().TCP.Apply(conn); err != nil {
		s.log.Debug("cannot set options of a connection", "peer", addrString(conn.RemoteAddr()), "err", err)
	}
}
