package upstream

import (
	"context"
	"net"
)

// Dial opens a connection over which the server's protocol can be spoken at once.
type Dial func(ctx context.Context) (net.Conn, error)

// Through returns c for one server that dial leads to and that knows us by the connection. No TLS is asked for and no
// password is sent, whatever c has. name stands for the server in logs.
func (c *Config) Through(name string, dial Dial) *Config {
	last := c.last.Load()
	r := &reading{
		base: last.base.Copy(), attrs: attrsAny, timeout: last.timeout, fallback: last.fallback,
		endpoints: []Endpoint{{Host: name}}, dial: dialer{instead: dial},
	}
	r.base.Password, r.base.TLSConfig, r.base.Fallbacks = "", nil, nil
	through := &Config{fixed: true, current: &currentPrimary{}}
	through.adopt(r)
	return through
}
