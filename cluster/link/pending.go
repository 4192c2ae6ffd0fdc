package link

import (
	"net"
	"net/netip"
	"sync"

	"github.com/replproxy/replproxy/internal/crowd"
)

// pendingHandshakes holds the connections that have not proved their name yet. The zero value is empty.
type pendingHandshakes struct {
	mu    sync.Mutex
	conns crowd.Crowd[net.Conn, netip.Prefix]
	known crowd.Known[netip.Prefix] // addresses of which a member came
}

// enter adds a connection. When there is no room it closes one: the oldest of the address that has most. One from an
// address of a known member is closed only if there is no other. So a crowd pushes out its own, and members push out a
// crowd. leave takes the connection out and is told whether the name was proved; call it once at most.
func (h *pendingHandshakes) enter(conn net.Conn) (leave func(proved bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns.Len() >= maxHandshakes {
		h.drop()
	}
	from := crowd.Origin(conn.RemoteAddr())
	place := h.conns.Add(conn, from)
	return func(proved bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.conns.Remove(place)
		if proved {
			h.known.Add(from)
		}
	}
}

func (h *pendingHandshakes) drop() {
	victim := h.conns.Victim(func(m *crowd.Member[net.Conn, netip.Prefix]) bool { return !h.known.Has(m.From) })
	if victim == nil {
		victim = h.conns.Victim(nil)
	}
	h.conns.Remove(victim)
	_ = victim.Value.Close()
}
