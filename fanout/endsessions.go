package fanout

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// endDelay lies between two looks whether sessions have ended.
const endDelay = 5 * time.Millisecond

// EndSessions ends all sessions that stream, as a server that crashes does, because the stored record that their WAL
// ends with is replaced (ruling R36). It waits until they have left, votes included, or ctx ends. Any goroutine may
// call it.
func (h *Hub) EndSessions(ctx context.Context) {
	was := h.registry.sessions()
	cause := pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command").
		WithDetail("The primary has given up the record that its WAL ended with, and writes another one there.")
	for _, s := range was {
		s.sender.End(cause)
	}
	for tick := time.NewTicker(endDelay); h.registry.hasAny(was); {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// hasAny reports whether one of the sessions is still attached.
func (r *registry) hasAny(of []*session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range of {
		if _, attached := r.attached[s]; attached {
			return true
		}
	}
	return false
}
