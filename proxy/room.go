package proxy

import (
	"net/netip"
	"time"
)

// roomDelay is the time before the next client is let in after somebody had to make room: that is done then.
const roomDelay = time.Millisecond

// MakeRoom ends a connection that has not sent its startup packet or has not logged in, so that its descriptors are
// free in a moment. It is one of the address that has most of both kinds together, so that a crowd pushes out its own
// whatever it says. It reports false when there is none. It may be called from any goroutine and does not block.
func (s *Server) MakeRoom() bool {
	s.starting.mu.Lock()
	defer s.starting.mu.Unlock()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	silent, unproven := &s.starting.conns, &s.sessions.unproven.crowd
	both := func(from netip.Prefix) int { return silent.Of(from) + unproven.Of(from) }
	a, b := silent.VictimBy(both, nil), unproven.VictimBy(both, nil)
	switch {
	case a == nil && b == nil:
		return false
	case b == nil, a != nil && both(a.From) > both(b.From):
		return s.starting.drop(a)
	case a != nil && both(a.From) == both(b.From) && silent.Of(a.From) >= unproven.Of(b.From):
		return s.starting.drop(a) // the kind of which there are more: who shares the address is rarely of it
	}
	s.sessions.drop(b.Value)
	return true
}
