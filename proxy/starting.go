package proxy

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// starting holds the connections that have not sent a whole startup packet yet, oldest first.
type starting struct {
	mu    sync.Mutex
	limit int
	conns list.List // of newcomer
	from  map[netip.Prefix]int
}

// newcomer is one of them.
type newcomer struct {
	conn net.Conn
	from netip.Prefix
}

// enter adds conn. When there is no room the oldest one goes of the address that has most, so that a
// crowd pushes out its own. leave takes conn out; it reports false when conn was the one that had to
// go. It may be called more than once.
func (s *starting) enter(conn net.Conn) (leave func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns.Len() >= s.limit {
		s.drop()
	}
	n := newcomer{conn, origin(conn.RemoteAddr())}
	e := s.conns.PushBack(n)
	if s.from == nil {
		s.from = map[netip.Prefix]int{}
	}
	s.from[n.from]++
	stayed, left := true, false
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !left {
			left = true
			stayed = s.remove(e)
		}
		return stayed
	}
}

// drop closes the oldest of those from the address that has most.
func (s *starting) drop() {
	var oldest *list.Element
	for e := s.conns.Front(); e != nil; e = e.Next() {
		if from := e.Value.(newcomer).from; oldest == nil || s.from[from] > s.from[oldest.Value.(newcomer).from] {
			oldest = e
		}
	}
	_ = oldest.Value.(newcomer).conn.Close()
	s.remove(oldest)
}

// remove reports whether e was still there.
func (s *starting) remove(e *list.Element) bool {
	before := s.conns.Len()
	n := s.conns.Remove(e).(newcomer)
	if s.conns.Len() == before {
		return false
	}
	if s.from[n.from]--; s.from[n.from] == 0 {
		delete(s.from, n.from)
	}
	return true
}
