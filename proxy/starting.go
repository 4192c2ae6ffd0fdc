package proxy

import (
	"net"
	"net/netip"
	"sync"

	"github.com/replproxy/replproxy/internal/crowd"
)

// starting holds the connections that have not sent a whole startup packet yet, oldest first.
type starting struct {
	mu    sync.Mutex
	limit int
	conns crowd.Crowd[net.Conn, netip.Prefix]
}

// enter adds conn. When there is no room it removes the oldest of the address that has most, so that a crowd pushes
// out its own. leave takes conn out; it reports false when conn was the one that was removed. It may be called more
// than once.
func (s *starting) enter(conn net.Conn) (leave func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns.Len() >= s.limit {
		s.drop(s.conns.Victim(nil))
	}
	e := s.conns.Add(conn, origin(conn.RemoteAddr()))
	stayed, left := true, false
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !left {
			left = true
			stayed = s.conns.Remove(e)
		}
		return stayed
	}
}

// drop closes one and takes it out. It reports false when there is none. The caller has the lock.
func (s *starting) drop(victim *crowd.Member[net.Conn, netip.Prefix]) bool {
	if victim == nil {
		return false
	}
	_ = victim.Value.Close()
	return s.conns.Remove(victim)
}
