package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/replproxy/replproxy/cluster/identity"
)

// Open connects to a member that is up, for one of the protocols that its listener serves, and returns which. The
// connection is as mutually authenticated as a link.
func (l *Link) Open(ctx context.Context, member string, protocols ...string) (net.Conn, string, error) {
	for _, p := range l.Directory.Live() {
		if p.Name == member {
			dialer := tls.Dialer{Config: identity.Client(l.Node, l.Members, member, protocols...)}
			conn, err := dialer.DialContext(ctx, "tcp", p.Addr)
			if err != nil {
				return nil, "", err
			}
			return conn, agreed(conn), nil
		}
	}
	return nil, "", fmt.Errorf("member %s is not up", member)
}

// agreed returns the protocol of a TLS connection.
func agreed(conn net.Conn) string { return conn.(*tls.Conn).ConnectionState().NegotiatedProtocol }

// Member is a connection of a member that proved its name at a listener.
type Member struct {
	net.Conn
	name string
	end  func()
}

// Member returns the name of the member at the other end.
func (m *Member) Member() string { return m.name }

// Close closes the connection, and lets its handler at the listener return. It may be called again, and then returns an
// error.
func (m *Member) Close() error {
	m.end()
	return m.Conn.Close()
}
