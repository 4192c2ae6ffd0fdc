package upstream

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Endpoint is one way to reach one server. Values are comparable.
type Endpoint struct {
	Host string // as configured: a name, an address, or the absolute directory of a unix socket
	Port uint16
	Addr string // where it was reached, "ip:port" or the socket's path; "" before, unless hostaddr says

	tls       *tls.Config // nil: plain
	direct    bool        // sslnegotiation direct: TLS begins without an SSLRequest
	plainNext bool        // sslmode prefer: the server may answer that it has no TLS
}

// TLS reports whether TLS is asked for.
func (e Endpoint) TLS() bool { return e.tls != nil }

// Unix reports whether it is a unix socket.
func (e Endpoint) Unix() bool { return strings.HasPrefix(e.Host, "/") }

// String is host:port, or the socket's path; without a port it is the name of what Through leads to.
func (e Endpoint) String() string {
	if e.Port == 0 {
		return e.Host
	}
	_, address := pgconn.NetworkAddress(e.Host, e.Port)
	return address
}

// target is what a dialer takes.
func (e Endpoint) target() (network, address string) {
	network, address = pgconn.NetworkAddress(e.Host, e.Port)
	if e.Addr != "" && network != "unix" {
		address = e.Addr
	}
	return network, address
}

// reached is e with the address that conn found.
func (e Endpoint) reached(conn net.Conn) Endpoint {
	if a := conn.RemoteAddr(); a != nil && !e.Unix() {
		e.Addr = a.String()
	} else {
		_, e.Addr = e.target()
	}
	return e
}

// sameServer reports whether both lead to one host and port as configured.
func (e Endpoint) sameServer(o Endpoint) bool { return e.Host == o.Host && e.Port == o.Port }

func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// order is the endpoints to try: the current one first, at its known address, then all.
func (c *Config) order() []Endpoint {
	cur, ok := c.Current()
	if !ok {
		return c.Endpoints()
	}
	list := []Endpoint{cur}
	for _, e := range c.endpoints {
		if e != cur {
			list = append(list, e)
		}
	}
	return list
}
