package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/replproxy/replproxy/internal/crowd"
)

// guests bounds the open connections of the server. A new one beyond the limit is served all the same, and another one
// is closed for it. The victim is the quiet connection that has been quiet for longest, of the address that has most. A
// busy one is closed only if none is quiet. Connections that say nothing therefore keep no probe and no scraper out.
// Make it with newGuests.
type guests struct {
	limit int

	mu          sync.Mutex
	quiet, busy crowd.Crowd[net.Conn, netip.Prefix] // in the order in which they became so
	open        map[net.Conn]*guest
}

// guest is one connection's place in one of the two.
type guest struct {
	in    *crowd.Crowd[net.Conn, netip.Prefix]
	place *crowd.Member[net.Conn, netip.Prefix]
}

func newGuests(limit int) *guests { return &guests{limit: limit, open: map[net.Conn]*guest{}} }

// note takes the server's ConnState.
func (g *guests) note(conn net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.open[conn]
	if was != nil {
		was.in.Remove(was.place)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(g.open, conn)
		return
	case http.StateNew:
		if len(g.open) >= g.limit {
			g.makeRoom()
		}
	default:
		if was == nil {
			return // it had to go
		}
	}
	in := &g.quiet
	if state == http.StateActive {
		in = &g.busy
	}
	g.open[conn] = &guest{in, in.Add(conn, crowd.Origin(conn.RemoteAddr()))}
}

func (g *guests) makeRoom() {
	in := &g.quiet
	if in.Len() == 0 {
		in = &g.busy
	}
	victim := in.Victim(nil)
	if victim == nil {
		return
	}
	in.Remove(victim)
	conn := victim.Value
	delete(g.open, conn)
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // a good-bye within TLS would wait for a peer that does not read
	}
	_ = conn.Close()
}
