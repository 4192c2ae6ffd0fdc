package walstore

import "github.com/replproxy/replproxy/grammar/lsn"

// HoldBack stops readers at fork: a reader beyond it gets nothing. Call it when a history is known that leaves the
// current timeline there. If that history is followed, WAL beyond the fork never leaves this store again (ruling R3).
// Of several forks the lowest holds. The hold ends with [Store.Release], or when the store follows a new timeline. Any
// goroutine may call it; it waits for nothing.
func (s *Store) HoldBack(fork lsn.LSN) {
	s.mu.Lock()
	if s.pos.Timeline == 0 || fork == lsn.Invalid || s.held != lsn.Invalid && s.held <= fork {
		s.mu.Unlock()
		return
	}
	s.held = fork
	s.mu.Unlock()
	s.watch.Nudge(MovedReceived)
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
		s.watch.Nudge(MovedReceived)
	}
}

// Served holds the end up to which readers may read the current timeline.
type Served struct {
	Timeline lsn.TimelineID
	End      lsn.LSN // the received end, or less when Held
	// Held: End is a fork that is known, beyond which WAL is held back (ruling R3).
	Held bool
}

// Served returns how far readers may read, all of one moment. It is cheap.
func (s *Store) Served() Served {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != lsn.Invalid && s.held < s.pos.Received {
		return Served{s.pos.Timeline, s.held, true}
	}
	return Served{Timeline: s.pos.Timeline, End: s.pos.Received}
}
