package link

import (
	"net"
	"net/netip"
	"sync"

	"github.com/replproxy/replproxy/internal/crowd"
)

// hall holds the connections that have not proved their name yet. The zero value is empty.
type hall struct {
	mu    sync.Mutex
	conns crowd.Crowd[net.Conn, netip.Prefix]
	known crowd.Known[netip.Prefix] // addresses of which a member came
}

// enter adds a connection. When there is no room one is closed, the oldest of the address that has most, and one of
// which a member came before only if there is no other: a crowd pushes out its own, and is pushed out by members.
// leave takes the connection out and says whether it has proved its name; it may be called once.
func (h *hall) enter(conn net.Conn) (leave func(proved bool)) {
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

func (h *hall) drop() {
	victim := h.conns.Victim(func(m *crowd.Member[net.Conn, netip.Prefix]) bool { return !h.known.Has(m.From) })
	if victim == nil {
		victim = h.conns.Victim(nil)
	}
	h.conns.Remove(victim)
	_ = victim.Value.Close()
}
