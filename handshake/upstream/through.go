package upstream

import (
	"context"
	"net"
)

// Dial opens a connection over which the server's protocol can be spoken at once.
type Dial func(ctx context.Context) (net.Conn, error)

// Through is c for one server that dial leads to and that knows by the connection who we are: no TLS is
// asked for, no password is sent, whatever c has. name is what the server is called in logs.
func (c *Config) Through(name string, dial Dial) *Config {
	c = c.now()
	through := &Config{
		base: c.base.Copy(), attrs: attrsAny, timeout: c.timeout, fallback: c.fallback, verdict: &verdict{},
		endpoints: []Endpoint{{Host: name}}, dial: dialer{instead: dial},
	}
	through.base.Password, through.base.TLSConfig, through.base.Fallbacks = "", nil, nil
	return through
}
