package walstore

import "github.com/replproxy/replproxy/grammar/lsn"

// A store that owes WAL takes none in its place that is not the same. What comes is held back, in memory, up to the
// record that the debt names. Nobody reads it and nothing is reported of it before its hash was compared. The tail may
// be too small for that. Then WAL is taken as it comes, and the hash is compared when it is there. So are segments of
// an archive that lie before that record.

// expectOwed has the stream that begins compared with what is owed, and held back up to there where the tail has room.
func (s *Store) expectOwed() {
	r, owes := s.Repairing()
	s.heldOwed.Store(uint64(lsn.Invalid))
	if s.in.owed, s.in.hold = (lsn.Print{}), lsn.Invalid; !owes || r.Print.Timeline != s.in.tli {
		return
	}
	s.in.owed = r.Print
	s.mu.Lock()
	defer s.mu.Unlock()
	blocks := int((r.Print.LSN-min(r.Print.LSN, s.pos.Written))/BlockSize) + 3 // it may begin and end within one
	if blocks <= s.tail.max {
		s.in.hold = r.Print.LSN
	}
}

// HeldOwed returns up to where owed WAL has come that is held back, Invalid where none is. It is of the stream that
// goes on, or of the last one. Any goroutine may call it.
func (s *Store) HeldOwed() lsn.LSN { return lsn.LSN(s.heldOwed.Load()) }

// EndHold stores the WAL that is held back, because the timeline of the stream ends there at its server. That WAL is in
// the history that goes on, and the named record is not. Call it from the goroutine of AppendFrom.
//
// Errors: those of AppendFrom.
func (s *Store) EndHold() error {
	received := s.Positions().Received
	if s.in.hold = lsn.Invalid; !s.in.started || s.in.next <= received {
		return nil
	}
	err := s.take(received, s.in.next)
	s.in.started = err == nil
	return err
}

// checkOwed compares WAL [at, end), which is in the tail and not published, with the name of what is owed, if that ends
// in it. at is where the received WAL ends.
func (s *Store) checkOwed(at, end lsn.LSN) error {
	p, h := s.in.owed, s.in.hash
	if p.LSN <= at || p.LSN > end {
		return nil
	}
	for from := at; from < p.LSN; {
		if s.segs.size.IsStart(from) {
			h.begin()
		}
		if !h.ok {
			return nil // the WAL before is gone
		}
		stop := min(p.LSN, from.PageStart()+lsn.PageSize)
		_, _ = h.sum.Write(s.streamBytes(from, stop))
		from = stop
	}
	if h.sum.Sum64() != p.Sum {
		return &DivergedError{Timeline: s.in.tli, LSN: at}
	}
	return nil
}
