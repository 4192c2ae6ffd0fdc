package upstream

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/internal/tcpopt"
)

// maxAddresses bounds the addresses of one name that are tried: a name for all servers of a large cluster has fewer.
const maxAddresses = 32

// dialer holds the TCP options of conninfo.
type dialer struct {
	tcp     tcpopt.Options
	instead Dial                                                     // nil: the network's
	lookup  func(ctx context.Context, host string) ([]string, error) // nil: the system's
}

func newDialer(s settings) (d dialer, err error) {
	on, err := s.number("keepalives", 1)
	if err != nil {
		return d, err
	}
	d.tcp.NoKeepAlive = on == 0
	for _, f := range []struct {
		name string
		set  func(n int)
	}{
		{"keepalives_idle", func(n int) { d.tcp.Idle = time.Duration(n) * time.Second }},
		{"keepalives_interval", func(n int) { d.tcp.Interval = time.Duration(n) * time.Second }},
		{"keepalives_count", func(n int) { d.tcp.Count = n }},
		{"tcp_user_timeout", func(n int) { d.tcp.UserTimeout = time.Duration(n) * time.Millisecond }},
	} {
		n, err := s.number(f.name, 0)
		if err != nil {
			return d, err
		}
		f.set(n)
	}
	if d.tcp.UserTimeout > 0 && !tcpopt.HaveUserTimeout {
		return d, fmt.Errorf("connection option %q is not supported on this system", "tcp_user_timeout")
	}
	return d, nil
}

// number reads an integer keyword as libpq does; negative means 0, and otherwise is the value where it is not set. Any
// other text is libpq's error.
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

// DialContext connects, with the options set before the handshake, and blocks until ctx ends at most.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.instead != nil {
		return d.instead(ctx)
	}
	return d.tcp.Dial(ctx, network, address)
}

// addresses returns e once for each address that its name leads to, in the resolver's order. As in libpq they are tried
// one after the other, each for connect_timeout.
func (r *reading) addresses(ctx context.Context, e Endpoint) ([]Endpoint, error) {
	if e.Addr != "" || e.Unix() || r.dial.instead != nil || isAddress(e.Host) {
		return []Endpoint{e}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	lookup := r.dial.lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	found, err := lookup(ctx, e.Host)
	if err != nil {
		return nil, errDial{plainReason(err)}
	}
	var all []Endpoint
	for _, a := range found[:min(len(found), maxAddresses)] {
		e.Addr = joinHostPort(a, e.Port)
		all = append(all, e)
	}
	return all, nil
}

// eachAddress calls try for each address of each endpoint that is not pointless, until it reports true or ctx ends.
// Attempts that failed are added to failed, names that lead nowhere too.
func (r *reading) eachAddress(ctx context.Context, list []Endpoint, failed *ConnectError,
	pointless func(Endpoint) bool, try func(Endpoint) (done bool, err error),
) {
	for _, e := range list {
		if pointless(e) {
			continue
		}
		found, err := r.addresses(ctx, e)
		if err != nil {
			failed.Attempts = append(failed.Attempts, Attempt{e, err})
		}
		for _, a := range found {
			if pointless(a) {
				continue
			}
			done, err := try(a)
			if done {
				return
			}
			failed.Attempts = append(failed.Attempts, Attempt{a, err})
			if ctx.Err() != nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}
