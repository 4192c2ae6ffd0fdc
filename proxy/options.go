package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/clienttls"
)

const (
	// DefaultMaxStarting bounds the connections that are silent or half-way through their startup packet. An honest
	// one stays there for a round trip; beyond it the oldest is dropped, so that a flood of silent ones locks nobody
	// out.
	DefaultMaxStarting = 512
	// DefaultDrainGrace is the time for which relayed sessions may go on after shutdown has begun.
	DefaultDrainGrace = 5 * time.Second
	// DefaultPhysicalGrace is the time for which physical walsenders may send the rest of the WAL. It equals
	// PostgreSQL's wal_sender_timeout: a standby that takes longer would be given up anyway.
	DefaultPhysicalGrace = time.Minute
)

// Options of a Server. Zero values mean the defaults unless said otherwise.
type Options struct {
	// Listeners are the server's to close once Run has begun. At least one; see Listen.
	Listeners []net.Listener
	// Upstream is required.
	Upstream Dialer
	// Physical serves physical walsenders; nil refuses them with 0A000.
	Physical PhysicalHandler
	// Database serves logical walsenders that have logged in; nil: they are relayed like regular connections.
	Database DatabaseHandler
	// Console serves regular connections to ConsoleDatabase; nil: they are relayed like others.
	Console ConsoleHandler
	// Access decides who may come in; nil lets the primary decide for all.
	Access Access
	// Roles verifies clients whom Access sends there (auth.method: scram); nil verifies nobody.
	Roles Roles
	// TLS encrypts towards clients; nil: none. It is asked at each connection, from many goroutines.
	TLS *clienttls.Reloader
	// Logger is required.
	Logger *slog.Logger

	// Tight reports whether a connection that was made just now leaves few descriptors for the rest of the proxy. Then
	// somebody who has not logged in makes room; nil: there are enough.
	Tight func(net.Conn) bool
	// ConnectWait returns the time for which Upstream may wait for a primary now, beyond the time that connecting
	// takes; nil: not at all.
	ConnectWait func() time.Duration
	// AuthenticationTimeout bounds the startup phase, and the log-in again.
	AuthenticationTimeout time.Duration
	// NewestMinor is the newest minor protocol version of the primary, as far as it is known, for
	// refusals to name; nil is 3.0.
	NewestMinor func() uint16
	Limits      Limits
	MaxStarting int
	// Node tells this proxy's virtual pids from another's, 0 to MaxNode.
	Node          uint8
	DrainGrace    time.Duration
	PhysicalGrace time.Duration
}

func (o *Options) complete() error {
	switch {
	case len(o.Listeners) == 0:
		return errors.New("make proxy server: no listeners")
	case o.Upstream == nil || o.Logger == nil:
		return errors.New("make proxy server: upstream and logger are required")
	case o.Node > MaxNode:
		return fmt.Errorf("make proxy server: node number %d is above %d", o.Node, MaxNode)
	}
	if o.ConnectWait == nil {
		o.ConnectWait = func() time.Duration { return 0 }
	}
	setDefault(&o.AuthenticationTimeout, handshake.DefaultAuthenticationTimeout)
	o.Limits.complete()
	setDefault(&o.MaxStarting, DefaultMaxStarting)
	setDefault(&o.DrainGrace, DefaultDrainGrace)
	setDefault(&o.PhysicalGrace, DefaultPhysicalGrace)
	if o.Tight == nil {
		o.Tight = func(net.Conn) bool { return false }
	}
	if o.NewestMinor == nil {
		o.NewestMinor = func() uint16 { return 0 }
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
