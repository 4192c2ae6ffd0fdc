package upstream

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Endpoint is one way to reach one server. Values are comparable.
type Endpoint struct {
	Host string // as configured: a name, an address, or the absolute directory of a unix socket
	Port uint16
	Addr string // where it was reached, "ip:port" or the socket's path; "" before, unless hostaddr says

	tls       *trust // nil: plain
	direct    bool   // sslnegotiation direct: TLS begins without an SSLRequest
	plainNext bool   // sslmode prefer: the server may answer that it has no TLS
}

// TLS reports whether TLS is asked for.
func (e Endpoint) TLS() bool { return e.tls != nil }

// Unix reports whether it is a unix socket.
func (e Endpoint) Unix() bool { return strings.HasPrefix(e.Host, "/") }

// tlsConfig returns the TLS configuration of the moment, nil for plain.
func (e Endpoint) tlsConfig() *tls.Config {
	if e.tls == nil {
		return nil
	}
	return e.tls.config.Load()
}

// String returns host:port, or the socket's path; without a port it is the name of what Through leads to.
func (e Endpoint) String() string {
	if e.Port == 0 {
		return e.Host
	}
	_, address := pgconn.NetworkAddress(e.Host, e.Port)
	return address
}

// target returns the arguments for a dialer.
func (e Endpoint) target() (network, address string) {
	network, address = pgconn.NetworkAddress(e.Host, e.Port)
	if e.Addr != "" && network != "unix" {
		address = e.Addr
	}
	return network, address
}

// reached returns e with the address that conn found.
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

// order returns the endpoints to try: the current one first, at the address where it is while that is sure, then all.
// One that is not sure is looked up anew: a name may lead to another server now.
func (r *reading) order() []Endpoint {
	cur, known, sure := r.current.get()
	i := slices.IndexFunc(r.endpoints, func(e Endpoint) bool {
		return e.sameServer(cur) && e.TLS() == cur.TLS() && (e.Addr == "" || e.Addr == cur.Addr)
	})
	if !known || i < 0 {
		return slices.Clone(r.endpoints)
	}
	first := r.endpoints[i]
	list := []Endpoint{first}
	if sure && first.Addr != cur.Addr {
		first.Addr = cur.Addr
		list = []Endpoint{first, list[0]}
	}
	for j, e := range r.endpoints {
		if j != i {
			list = append(list, e)
		}
	}
	return list
}
