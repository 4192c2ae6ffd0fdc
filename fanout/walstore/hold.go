package walstore

import "github.com/replproxy/replproxy/grammar/lsn"

// HoldBack stops readers at fork: a history is known that leaves the current timeline there, and what lies beyond
// never leaves this store again if that history is followed (ruling R3). A reader that is beyond it gets nothing. It
// ends when the store follows a new timeline, or by [Store.Release]; of several forks the lowest holds. Any
// goroutine may call it; it waits for nothing.
func (s *Store) HoldBack(fork lsn.LSN) {
	s.mu.Lock()
	if s.pos.Timeline == 0 || fork == lsn.Invalid || s.held != lsn.Invalid && s.held <= fork {
		s.mu.Unlock()
		return
	}
	s.held = fork
	s.mu.Unlock()
	s.watch.nudge(MovedReceived)
}

// Release lets go of what is held back, up to to; Invalid: all of it. Histories that leave the timeline below are not
// followed.
func (s *Store) Release(to lsn.LSN) {
	s.mu.Lock()
	more := s.held != lsn.Invalid && (to == lsn.Invalid || s.held < to)
	if more {
		s.held = to
	}
	s.mu.Unlock()
	if more {
		s.watch.nudge(MovedReceived)
	}
}

// Served gives the current timeline and how far readers may read it; held: that is a fork beyond which WAL is held
// back, not the received end.
func (s *Store) Served() (tli lsn.TimelineID, end lsn.LSN, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != lsn.Invalid && s.held < s.pos.Received {
		return s.pos.Timeline, s.held, true
	}
	return s.pos.Timeline, s.pos.Received, false
}
