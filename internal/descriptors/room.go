package descriptors

import (
	"net"
	"os"
	"sync"
)

// Room tells when clients use more descriptors than they may. A new connection has the lowest number that is free, so a
// high one says that all below are in use. After somebody has made room, the next has a low one, and they are counted.
// Its methods may be called from any goroutine.
type Room struct {
	budget Budget
	open   func() int // how many are in use; 0: it is not known

	mu    sync.Mutex
	used  int // when they were counted last; 0: not since there were enough
	since int // connections since then
}

// NewRoom returns the room of a budget.
func NewRoom(b Budget) *Room { return &Room{budget: b, open: countOpen} }

// Tight reports whether a connection for a client, which was made just now, takes from the reserve: somebody should
// make room, which takes a moment. It counts the open files only while that may be so.
func (r *Room) Tight(conn net.Conn) bool {
	clients := r.budget.Clients()
	if clients == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.budget.Tight(conn) {
		r.used, r.since = max(r.open(), 1), 0
		return true
	}
	if r.used == 0 {
		return false
	}
	if r.since++; r.used+r.since < clients {
		return false
	}
	if r.used, r.since = r.open(), 0; r.used < clients/2 {
		r.used = 0
		return false
	}
	return r.used >= clients
}

// countOpen returns how many descriptors this process has open, 0 where the system does not say.
func countOpen() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names) - 1 // the folder's own
}
