package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/internal/crowd"
	"github.com/replproxy/replproxy/proxy/relay"
)

// SessionID numbers the sessions of one server from 1, in the order of their arrival.
type SessionID uint64

// State is the state of a session.
type State uint32

// The states, in order; a session never goes back.
const (
	StateStarting  State = iota // the startup packet or the log-in
	StateActive                 // relayed, or served by the physical handler
	StateStreaming              // a physical walsender within COPY BOTH
	StateEnding                 // told to end
)

// String returns the state's word.
func (s State) String() string {
	switch s {
	case StateStarting:
		return "starting"
	case StateActive:
		return "active"
	case StateStreaming:
		return "streaming"
	}
	return "ending"
}

// Session is one client connection behind its startup packet. Its methods may be called from any
// goroutine.
type Session struct {
	// Fixed after construction.
	id         SessionID
	pid        int32
	began      time.Time
	class      handshake.Class
	user       string
	database   string
	clientAddr net.Addr
	conn       net.Conn
	ssl        *handshake.SSL // nil in clear
	access     access.Decision
	cancels    *cancels

	// physical judges the client as a physical walsender, by the same rules; set for logical ones.
	physical access.Decision

	giveWay func()    // ends the session for others, as long as its client has not logged in; nil: it never does
	leave   func()    // ends the session because its server is not the primary any more
	table   *sessions // set by add
	// unproven is the table's, and guarded by its lock; nil once the client has logged in.
	unproven *crowd.Member[*Session, netip.Prefix]

	proved    atomic.Bool          // the client has logged in
	onProved  func()               // called once then; nil: nobody is told
	onRefused func(*pgerror.Error) // see Refused

	verified *roles.Verified // set before the session is routed; nil: the primary verifies

	// first is the side that ended the session in order, plus 1; 0: none has.
	first atomic.Uint32
	// FromClient and ToClient count payload bytes as they pass.
	FromClient, ToClient atomic.Int64

	state atomic.Uint32
	// here ends a command that is answered here rather than by the primary; nil: there is none.
	here atomic.Pointer[func() bool]

	mu              sync.Mutex
	applicationName string
	upstream        string
	upstreamSSL     *handshake.SSL
}

// SessionInfo is a session at one moment, for pages and metrics. Byte counts are payload only.
type SessionInfo struct {
	ID              SessionID
	PID             int32 // the virtual pid; relayed clients know the primary's own instead
	Class           handshake.Class
	State           State
	User            string
	Database        string
	ApplicationName string
	ClientAddr      string
	Upstream        string         // the server that a relayed session is connected to, "" for none
	SSL             *handshake.SSL // of the client's connection; nil in clear
	UpstreamSSL     *handshake.SSL // of the one to the server
	Began           time.Time
	FromClient      int64
	ToClient        int64
}

// ID returns the session's number.
func (s *Session) ID() SessionID { return s.id }

// PID returns the session's virtual backend pid: positive, above 2^22, of no other living session of this proxy, and
// of no other proxy with another node number (ruling R31).
func (s *Session) PID() int32 { return s.pid }

// Access returns the decision that let the session in.
func (s *Session) Access() access.Decision { return s.access }

// PhysicalAccess returns the access rules' decision on a logical walsender's physical commands: the one that a
// physical walsender would have had.
func (s *Session) PhysicalAccess() access.Decision { return s.physical }

// Verified returns the role that the client has proved to be, here; nil: the primary verifies. The client has been
// sent everything up to AuthenticationSASLFinal.
func (s *Session) Verified() *roles.Verified { return s.verified }

// Origin returns the key for the session's turn at a gate: its client's address, or network of IPv6. All clients of
// unix sockets are one.
func (s *Session) Origin() string { return origin(s.clientAddr).String() }

// SetState moves the session forward; a step back is ignored. A session that is active has logged in.
func (s *Session) SetState(next State) {
	if next == StateActive {
		s.Proved()
	}
	for {
		now := s.state.Load()
		if uint32(next) <= now || s.state.CompareAndSwap(now, uint32(next)) {
			return
		}
	}
}

// SetApplicationName replaces the name that the startup packet gave, in status and logs. Any goroutine may call it.
func (s *Session) SetApplicationName(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applicationName = name
}

// SetUpstream tells which server serves the session, and by which connection; nil when none does.
func (s *Session) SetUpstream(up *relay.Upstream) {
	name, ssl := "", (*handshake.SSL)(nil)
	if up != nil {
		name, ssl = up.Name, handshake.SSLOf(up.Conn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upstream, s.upstreamSSL = name, ssl
}

// OnCancel calls f, in the canceller's goroutine, for each CancelRequest that carries the session's virtual
// pid and key. The caller sends pid and key to the client as BackendKeyData. The returned func
// withdraws f and is the caller's to call; f must not block.
func (s *Session) OnCancel(key []byte, f func()) (withdraw func()) {
	return s.cancels.add(uint32(s.pid), key, func(context.Context, []byte) error {
		f()
		return nil
	})
}

// OnCancelHere lets f see the CancelRequests for a relayed session first, in the canceller's goroutine. f reports
// whether it ended a command, and must not block; otherwise the primary gets the request.
func (s *Session) OnCancelHere(f func() bool) { s.here.Store(&f) }

// cancelHere returns a function that cancels what runs in the proxy itself, by the function that OnCancelHere was
// given, and otherwise sends the request by send.
func (s *Session) cancelHere(send func(context.Context, []byte) error) func(context.Context, []byte) error {
	return func(ctx context.Context, raw []byte) error {
		if f := s.here.Load(); f != nil && (*f)() {
			return nil
		}
		return send(ctx, raw)
	}
}

// Info returns the session now.
func (s *Session) Info() SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SessionInfo{
		ID: s.id, PID: s.pid, Class: s.class, State: State(s.state.Load()),
		User: s.user, Database: s.database, ApplicationName: s.applicationName,
		ClientAddr: addrString(s.clientAddr), Upstream: s.upstream, Began: s.began,
		SSL: s.ssl, UpstreamSSL: s.upstreamSSL,
		FromClient: s.FromClient.Load(), ToClient: s.ToClient.Load(),
	}
}

// addrString returns an address as pg_stat_activity's readers expect it: "[local]" for a unix socket, and for nil.
func addrString(a net.Addr) string {
	if a == nil || a.Network() == "unix" {
		return "[local]"
	}
	return a.String()
}

// Proved notes that the client has logged in, before it is told: the session gives way to nobody from now on.
func (s *Session) Proved() {
	if s.proved.CompareAndSwap(false, true) && s.onProved != nil {
		s.onProved()
	}
	if s.table == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.table.unproven.remove(s)
}

// endedBy notes that a side has ended the session in order: the first one counts.
func (s *Session) endedBy(side relay.Side) { s.first.CompareAndSwap(0, uint32(side)+1) }

// closed returns the words for a session that ended in order.
func (s *Session) closed() string {
	if s.first.Load() == uint32(relay.Primary)+1 {
		return "closed by the primary"
	}
	return "closed by the client"
}
