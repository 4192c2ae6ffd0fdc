package tcpopt

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Bounds of the values that the kernel takes (Linux: net/tcp.h).
const (
	MaxIdle  = 32767 * time.Second // of Idle and Interval
	MaxCount = 127
)

// Options holds the options of one TCP connection. Zero values are the system's, so the zero Options have keepalive as
// the system has it, which is what a backend and libpq have by default.
type Options struct {
	NoKeepAlive    bool
	Idle, Interval time.Duration // whole seconds
	Count          int
	UserTimeout    time.Duration // whole milliseconds; where HaveUserTimeout
}

// KeepAlive returns o in the form of package net.
func (o Options) KeepAlive() net.KeepAliveConfig {
	c := net.KeepAliveConfig{Enable: !o.NoKeepAlive, Idle: o.Idle, Interval: o.Interval, Count: o.Count}
	if c.Idle <= 0 {
		c.Idle = -1 // unchanged; 0 would be Go's default
	}
	if c.Interval <= 0 {
		c.Interval = -1
	}
	if c.Count <= 0 {
		c.Count = -1
	}
	return c
}

// Apply sets o on a connection that was accepted by a listener of [Listen]. Others than TCP have no options.
func (o Options) Apply(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	err := tcp.SetKeepAliveConfig(o.KeepAlive())
	if o.UserTimeout <= 0 {
		return err
	}
	raw, bad := tcp.SyscallConn()
	if bad == nil {
		bad = setUserTimeout(raw, o.UserTimeout)
	}
	return errors.Join(err, bad)
}

// Dial connects with the options set before the handshake; a unix socket has none. It tries a name's addresses one
// after another, and blocks until one answers or ctx ends.
func (o Options) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	// Addresses of a name are never raced: the first that answers might be another server than the first that is named.
	d := net.Dialer{KeepAliveConfig: o.KeepAlive(), KeepAlive: -1, FallbackDelay: -1}
	if o.UserTimeout > 0 {
		d.Control = func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			return setUserTimeout(c, o.UserTimeout)
		}
	}
	return d.DialContext(ctx, network, address)
}

// Network returns the network of a literal address, tcp4 or tcp6. With it 0.0.0.0 and [::] listen as in PostgreSQL, for
// one family each. Of a name, or no host, it is tcp.
func Network(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Is4():
		return "tcp4"
	}
	return "tcp6"
}

// Listen opens a listener whose connections have what the system gives them, until [Options.Apply]. ctx bounds the
// lookup of a name alone.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l := net.ListenConfig{KeepAliveConfig: Options{}.KeepAlive()}
	l.SetMultipathTCP(false)
	return l.Listen(ctx, network, address)
}
