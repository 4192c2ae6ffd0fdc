package upstream

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// dialer holds the TCP options of conninfo.
type dialer struct {
	keepAlive   net.KeepAliveConfig
	userTimeout time.Duration // tcp_user_timeout, 0 for the system's own
	instead     Dial          // nil: the network's
}

func newDialer(s settings) (dialer, error) {
	d := dialer{keepAlive: net.KeepAliveConfig{Enable: true}}
	on, err := s.number("keepalives", 1)
	if err != nil {
		return d, err
	}
	d.keepAlive.Enable = on != 0
	for _, f := range []struct {
		name string
		set  func(n int)
	}{
		{"keepalives_idle", func(n int) { d.keepAlive.Idle = time.Duration(n) * time.Second }},
		{"keepalives_interval", func(n int) { d.keepAlive.Interval = time.Duration(n) * time.Second }},
		{"keepalives_count", func(n int) { d.keepAlive.Count = n }},
		{"tcp_user_timeout", func(n int) { d.userTimeout = time.Duration(n) * time.Millisecond }},
	} {
		n, err := s.number(f.name, 0)
		if err != nil {
			return d, err
		}
		f.set(n)
	}
	if d.userTimeout > 0 && !haveUserTimeout {
		return d, fmt.Errorf("connection option %q is not supported on this system", "tcp_user_timeout")
	}
	return d, nil
}

// number reads an integer keyword as libpq does; negative means 0.
func (s settings) number(name string, otherwise int) (int, error) {
	v, ok := s[name]
	if !ok || v == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("invalid integer value %q for connection option %q", v, name)
	}
	return int(max(n, 0)), nil
}

// DialContext connects, with the options set before the handshake.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.instead != nil {
		return d.instead(ctx)
	}
	nd := net.Dialer{KeepAliveConfig: d.keepAlive, KeepAlive: -1}
	if d.keepAlive.Enable {
		nd.KeepAlive = 0
	}
	if d.userTimeout > 0 {
		nd.Control = func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			return setUserTimeout(c, d.userTimeout)
		}
	}
	return nd.DialContext(ctx, network, address)
}
