package walstore

import (
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// reportAhead bounds how far reports of written WAL go beyond what is flushed (ruling R42), and with it what is
	// owed after a power loss. It is a segment of the usual size, which a disk that keeps up is never behind.
	reportAhead = 16 << 20
	// raiseBelow is the rest of reportAhead at which the bound is raised, so that reports don't wait for its fsync.
	raiseBelow = reportAhead / 2
)

// ErrOwing reports that WAL is owed which nobody has named yet, so reports end where WAL is flushed.
var ErrOwing = errors.New("the store owes WAL")

// ReportWritten lets WAL be reported that is written and not yet flushed, see [Positions].Reportable (ruling R42). The
// end of the process takes none of it. What the end of the machine may take is bounded, and the bound is durable before
// anything is reported beyond what is flushed:
//
//	        Flushed      Reportable       Written
//	────────┼────────────┼────────────────┼────────
//	        ├── owed after a power loss ──────┤ Promise.Owes, at most reportAhead beyond Flushed
//
// It holds until [Store.ReportFlushed], and waits for the disk. Any goroutine may call it.
//
// Errors: [ErrOwing], and those of the file system, after which reports end at Flushed.
func (s *Store) ReportWritten() error {
	if r, owes := s.Repairing(); owes && r.Bound != lsn.Invalid {
		return fmt.Errorf("report written WAL: %w, up to %s", ErrOwing, r.Bound)
	}
	if err := s.noteLife(); err != nil {
		return fmt.Errorf("note in which life of the machine WAL is reported: %w", err)
	}
	s.mu.Lock()
	s.ahead.on = true
	s.mu.Unlock()
	_, err := s.aheadStep()
	if err != nil {
		s.ReportFlushed()
	}
	return err
}

// ReportFlushed ends the effect of [Store.ReportWritten]. The bound on disk falls with the next promise. Any goroutine
// may call it; it waits for nothing.
func (s *Store) ReportFlushed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = aheadOfFlush{}
}

// aheadOfFlush says how far reports may be ahead of what is flushed. Guarded by Store.mu.
type aheadOfFlush struct {
	on bool
	to lsn.LSN // Promise.Owes on the disk, for the timeline that is stored now; Invalid: there is none
}

// reportable returns the end of what may be reported. s.mu is held.
func (s *Store) reportable() lsn.LSN {
	if !s.ahead.on {
		return s.pos.Flushed
	}
	return max(s.pos.Flushed, min(s.pos.Written, s.ahead.to))
}

// aheadStep raises the bound on disk when it is time for that, beside the flusher. Meanwhile another goroutine may
// raise it, or the timeline be left. A bound in use is never lowered, nor given another timeline.
func (s *Store) aheadStep() (bool, error) {
	pos, due := s.aheadDue()
	if !due {
		return false, nil
	}
	print := s.printUpTo(pos, pos.Written)
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	next := s.promised.now
	if pos, due = s.aheadDue(); !due || next.At != PromisedAll || next.Beyond(pos) {
		return false, nil // beyond an exact promise nothing is reported before SetPromised says more
	}
	id, _ := s.Identity()
	next.System, next.Timeline, next.Owes = id.System, pos.Timeline, pos.Flushed+reportAhead
	if print.Timeline == pos.Timeline && print != (lsn.Print{}) {
		next.Print = print
	}
	if err := s.savePromise(next); err != nil {
		return false, noSpace(err)
	}
	s.setAhead(pos.Timeline, next.Owes)
	return true, nil
}

// aheadDue reports whether the bound is to be raised for a store at pos.
func (s *Store) aheadDue() (pos Positions, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos, s.ahead.on && s.pos.Timeline != 0 && s.ahead.to < s.pos.Flushed+raiseBelow
}

// setAhead notes that the bound for timeline t is to on the disk.
func (s *Store) setAhead(t lsn.TimelineID, to lsn.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ahead.on && s.pos.Timeline == t {
		s.ahead.to = to
		s.moved.Store(true)
	}
}

// oweReported has a start owe WAL that a process before may have reported, and that is not here. was is the promise on
// disk, whose bound nobody need have reached. After the end of the process alone it is known how far was reported.
func (s *Store) oweReported(was Promise) {
	pos, to := s.Positions(), was.Owes
	if to == lsn.Invalid {
		return
	}
	if at, known := s.reportedInThisLife(); known {
		was.Timeline, to = at.Timeline, min(to, at.LSN)
	} else {
		s.forgetLife()
	}
	if fork, _, left := s.History().SwitchPoint(was.Timeline); left {
		to = min(to, fork) // all beyond was given up
	}
	if to <= pos.Flushed || s.lifeNoted() && !s.lacksRecords(pos.Flushed, to) {
		return
	}
	s.mu.Lock()
	if s.repair == nil {
		s.repair = &Repair{From: pos.Flushed}
	}
	r := s.repair
	r.Bound, r.To = to, max(r.To, to)
	if p := was.Print; r.Print == (lsn.Print{}) && p.Timeline == pos.Timeline && p.LSN > pos.Received && p.LSN <= to {
		r.Print = p
	}
	s.mu.Unlock()
	s.log.Warn("WAL may have been reported that is not here any more: the end of this store is not known until the "+
		"primary says where it is", "from_lsn", pos.Flushed, "to_lsn", to)
}

// PrimaryHas notes that a primary of the stored timeline has WAL up to at. It has all that was ever reported of it, so
// no more than that is owed for having been reported (ruling R42). It waits for the disk. Any goroutine may call it.
func (s *Store) PrimaryHas(at lsn.LSN) error {
	owes := func() bool {
		r, owes := s.Repairing()
		return owes && r.Bound > at
	}
	if !owes() {
		return nil // as nearly always
	}
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	if !owes() {
		return nil // it was given up meanwhile
	}
	next := s.promised.now
	if next.Owes = at; at <= s.Positions().Flushed {
		next.Owes = lsn.Invalid
	}
	if err := s.savePromise(next); err != nil {
		return err
	}
	s.mu.Lock()
	if s.repair != nil && s.repair.Bound > at {
		s.repair.Bound = at
		s.repair.To = max(at, s.repair.noted)
	}
	s.mu.Unlock()
	s.log.Info("the primary has said where it is: no more than that was reported", "to_lsn", at)
	s.repaired()
	return nil
}
