package walstore

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// ReplacedError: the byte at LSN, sent on the current timeline, differs from the byte stored, and all that is complete
// lies before it: a server that has crashed gave its last record up, and has written another one (ruling R36). See
// [Store.DropIncomplete].
type ReplacedError struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("the incomplete last record of timeline %s is another one from %s on", e.Timeline, e.LSN)
}

// differs words a difference at at: what no commit can rest on may be replaced.
func (s *Store) differs(at lsn.LSN) error {
	pos := s.Positions()
	if at >= pos.Complete && pos.Complete < pos.Received && pos.Complete > pos.Oldest && s.in.tli == pos.Timeline {
		if _, repairing := s.Repairing(); !repairing {
			return &ReplacedError{Timeline: s.in.tli, LSN: at}
		}
	}
	return &DivergedError{Timeline: s.in.tli, LSN: at}
}

// DropIncomplete goes back to the end of the last complete record, durably, so that another record can take the place
// of the one whose beginning lies behind it; that is where it leaves the store. Positions go back. The stream is over;
// nobody may read what is dropped: end the readers first. It waits for the disk. Call it from the goroutine of
// AppendFrom.
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
	s.stages.housekeeping.Lock()
	defer s.stages.housekeeping.Unlock()
	s.stages.write.Lock()
	defer s.stages.write.Unlock()
	s.stages.sync.Lock()
	defer s.stages.sync.Unlock()
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	if err := s.cutBack(end); err != nil {
		return pos.Received, fmt.Errorf("drop the beginning of a record: %w", err)
	}
	s.watch.Nudge(MovedReceived | MovedWritten | MovedFlushed)
	s.log.Warn("the beginning of a record is dropped: the primary has given that record up",
		"timeline", uint32(pos.Timeline), "complete_lsn", end, "end_lsn", pos.Received)
	return end, nil
}

// cutBack makes end, which is stored, the end of the current timeline. The locks of all stages are held.
func (s *Store) cutBack(end lsn.LSN) error {
	h, pos, _ := s.readState()
	r, err := s.resumeAt(end)
	if err != nil {
		return err
	}
	last, err := s.lastHeader(end)
	if err != nil {
		return err
	}
	if err := s.stages.mark.write(mark{Timeline: h.Timeline, LSN: end, Start: s.start}); err != nil {
		return s.fail(err)
	}
	old := s.leaveFiles()
	s.setEnd(h, s.start, pos.Oldest, end, r)
	s.in.checker.Resume(last)
	s.unseal(h.Timeline, end)
	if old != nil {
		return s.fail(old)
	}
	return nil
}

// unseal takes back that segments of timeline tli are complete which reach beyond end, and removes those that begin
// there.
func (s *Store) unseal(tli lsn.TimelineID, end lsn.LSN) {
	s.mu.Lock()
	var keep []sealJob
	for _, job := range s.sealed {
		if job.end <= end {
			keep = append(keep, job)
		}
	}
	s.sealed = keep
	s.mu.Unlock()
	x, first := s.segs, end
	if !x.size.IsStart(end) {
		first = x.size.Floor(end) + s.segLen()
		k := segKey{tli, x.size.Segno(end)}
		if err := x.remove(x.name(k) + digestSuffix); err != nil {
			s.log.Warn("cannot remove the digest of a segment that goes on", "segment", x.name(k), "err", err)
		}
		x.mu.Lock()
		delete(x.verified, k)
		x.mu.Unlock()
	}
	for _, k := range s.unlistBeyond(tli, first) {
		if err := x.drop(k, false); err != nil {
			s.log.Warn("cannot remove a segment with a part of a record", "segment", x.name(k), "err", err)
		}
	}
}
