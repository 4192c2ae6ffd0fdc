package proxy

import (
	"net"
	"net/netip"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
	"github.com/replproxy/replproxy/internal/tcpopt"
)

const (
	// DefaultMaxConnections bounds the sessions that live at once. A session costs two sockets and two goroutines; the
	// primary's own max_connections is nearly always the lower limit.
	DefaultMaxConnections = 4096
	// DefaultMaxPerAddress bounds the sessions of one address: a quarter, so that no single host takes everything, and
	// more than a connection pool keeps.
	DefaultMaxPerAddress = 1024
	// DefaultMaxLogins bounds the log-ins that hold a connection to the primary before they have proved anything: a
	// third of the usual max_connections of 100. A log-in takes milliseconds, so that thousands a second pass.
	DefaultMaxLogins = 32
)

// Limits bound the resources of clients. Zero values mean the defaults.
type Limits struct {
	// MaxConnections bounds the sessions that live at once. As in PostgreSQL walsenders are counted apart, here as
	// many again, so that a crowd of applications locks no standby out.
	MaxConnections int
	// MaxPerAddress bounds the sessions of both kinds that one address has, or one /64 of IPv6. Clients of this
	// machine, by loopback or unix socket, have none: they all look the same.
	MaxPerAddress int
	// MaxLogins bounds the log-ins of relayed sessions that hold a connection to the primary. Others wait, addresses
	// take turns, and one that thinks about a question while others wait has only a moment.
	MaxLogins int
	// TCP are options of their connections; the zero value is what a PostgreSQL server's have by default.
	TCP tcpopt.Options
	// AuthDelay is for how long a client waits for the answer that its log-in has failed; 0: it does not.
	AuthDelay time.Duration
}

func (l *Limits) complete() {
	setDefault(&l.MaxConnections, DefaultMaxConnections)
	setDefault(&l.MaxPerAddress, DefaultMaxPerAddress)
	setDefault(&l.MaxLogins, DefaultMaxLogins)
}

// SetLimits puts other limits into force for connections that come from now on.
func (s *Server) SetLimits(l Limits) {
	l.complete()
	s.limits.Store(&l)
	s.logins.SetMax(l.MaxLogins)
}

// origin returns the unit in which limits and turns count clients: an address, or a network of IPv6.
func origin(a net.Addr) netip.Prefix { return crowd.Origin(a) }

// ours reports whether an origin is this machine; ::1 is in ::/64.
func ours(p netip.Prefix) bool {
	return !p.IsValid() || p.Addr().IsLoopback() || p.Addr() == netip.IPv6Unspecified()
}
