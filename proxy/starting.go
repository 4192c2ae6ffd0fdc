package proxy

import (
	"container/list"
	"net"
	"sync"
)

// starting holds the connections that have not sent a whole startup packet yet, oldest first.
type starting struct {
	mu    sync.Mutex
	limit int
	conns list.List
}

// enter adds conn and closes the oldest one when there is no room. leave takes conn out; it reports
// false when conn was the one that had to go. It may be called more than once.
func (s *starting) enter(conn net.Conn) (leave func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns.Len() >= s.limit {
		oldest := s.conns.Front()
		s.conns.Remove(oldest).(net.Conn).Close()
	}
	e := s.conns.PushBack(conn)
	stayed, left := true, false
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !left {
			left = true
			before := s.conns.Len()
			s.conns.Remove(e)
			stayed = s.conns.Len() < before
		}
		return stayed
	}
}
