package walstore

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// ReplacedError says that the byte at LSN, sent on the current timeline, differs from the stored one, and that every
// complete record ends before it. A server that has crashed gave its last record up, and has written another one
// (ruling R36). See [Store.DropIncomplete].
type ReplacedError struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("the incomplete last record of timeline %s is another one from %s on", e.Timeline, e.LSN)
}

// differs words a difference at at: what no commit can rest on may be replaced. Not so where WAL was damaged: behind
// the last complete record others were durable.
func (s *Store) differs(at lsn.LSN) error {
	pos := s.Positions()
	if at >= pos.Complete && pos.Complete < pos.Received && pos.Complete > pos.Oldest && s.in.tli == pos.Timeline {
		if r, owes := s.Repairing(); !owes || r.Damage == nil {
			return &ReplacedError{Timeline: s.in.tli, LSN: at}
		}
	}
	return &DivergedError{Timeline: s.in.tli, LSN: at}
}

// DropIncomplete goes back to the end of the last complete record, durably, so that another record can take the place
// of the one that begins there. It returns the end of the store. Positions go back, and the stream is over. End all
// readers before: nobody may read the dropped bytes. It waits for the disk. Call it from the goroutine of AppendFrom.
//
// Errors: those of the disk, [ErrFailed].
func (s *Store) DropIncomplete() (lsn.LSN, error) {
	s.in.started = false
	pos := s.Positions()
	end := pos.Complete
	if end >= pos.Received || end <= pos.Oldest || pos.Timeline == 0 {
		return pos.Received, nil
	}
	if err := s.drain(); err != nil {
		return pos.Received, fmt.Errorf("drop the beginning of a record: %w", err)
	}
	defer s.stages.halt()()
	r, err := s.resumeAt(end)
	if err == nil {
		err = s.endAt(s.History(), s.Positions().Oldest, end, r)
	}
	if err != nil {
		return pos.Received, fmt.Errorf("drop the beginning of a record: %w", err)
	}
	s.untell(end)
	s.dropBeyond(pos.Timeline, end, "cannot remove a segment with a part of a record")
	s.watch.Nudge(MovedReceived | MovedWritten | MovedFlushed)
	s.log.Warn("the beginning of a record is dropped: the primary has given that record up",
		"timeline", uint32(pos.Timeline), "complete_lsn", end, "end_lsn", pos.Received)
	return end, nil
}
