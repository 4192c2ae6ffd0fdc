package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/replproxy/replproxy/cluster/identity"
)

// Open connects to the door of a member that is up, for a protocol that is served there; the connection is
// as mutually authenticated as a link is.
func (l *Link) Open(ctx context.Context, member, protocol string) (net.Conn, error) {
	for _, p := range l.Directory.Live() {
		if p.Name == member {
			dialer := tls.Dialer{Config: identity.Client(l.Node, l.Members, member, protocol)}
			return dialer.DialContext(ctx, "tcp", p.Addr)
		}
	}
	return nil, fmt.Errorf("member %s is not up", member)
}

// Member is a connection of a member that proved its name at a door.
type Member struct {
	net.Conn
	name string
	end  func()
}

// Member is the name.
func (m *Member) Member() string { return m.name }

// Close closes the connection. It may be called again.
func (m *Member) Close() error {
	m.end()
	return m.Conn.Close()
}
