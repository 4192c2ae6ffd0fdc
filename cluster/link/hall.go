package link

import (
	"container/list"
	"net"
	"sync"
)

// hall holds the connections that have not proved their name yet, oldest first. The zero value is empty.
type hall struct {
	mu    sync.Mutex
	conns list.List
}

// enter adds a connection and closes the oldest one when there is no room. leave takes it out.
func (h *hall) enter(conn net.Conn) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns.Len() >= maxHandshakes {
		_ = h.conns.Remove(h.conns.Front()).(net.Conn).Close()
	}
	e := h.conns.PushBack(conn)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.conns.Remove(e) // nothing when it had to go
	}
}
