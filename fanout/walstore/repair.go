package walstore

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Repair is WAL [From, To) that a start owes: it was here once and may have been reported. The store then ended at
// From. It claims and serves nothing beyond its end, and the stream brings the rest again.
type Repair struct {
	From, To lsn.LSN
	// Damage describes damage of WAL that was durable; of an earlier start only its place is known. nil: what is
	// missing now was being flushed, and it is not known whether it had been reported.
	Damage error
	// Print names WAL that the store had, a record's end at or below To. Zero: nothing is known.
	Print lsn.Print
	// Bound bounds the WAL that a process before may have reported, and the machine lost (ruling R42). None of it need
	// have been there. [Store.PrimaryHas] lowers it. Invalid: there is nothing of that kind.
	Bound lsn.LSN

	durable lsn.LSN // once the store has flushed as far Damage is over
	noted   lsn.LSN // To without Bound
}

// Repairing returns the repair that goes on; false: there is none.
func (s *Store) Repairing() (Repair, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repair == nil {
		return Repair{}, false
	}
	r := *s.repair
	if s.pos.Flushed >= r.durable {
		r.Damage = nil
	}
	return r, true
}

// resumeRepair begins the repair of d, whose damage, if it has any, was found now or at an earlier start.
func (s *Store) resumeRepair(d debt, damaged *DamagedError) error {
	pos := s.Positions()
	switch {
	case d == debt{}:
		return nil
	case d.Timeline != pos.Timeline || d.To <= pos.Flushed:
		return s.segs.remove(owedName)
	}
	r := &Repair{From: pos.Flushed, To: d.To, Print: d.Print, durable: d.Durable, noted: d.To}
	switch {
	case pos.Flushed >= d.Durable:
	case damaged != nil:
		r.Damage = damaged
	default:
		r.Damage = fmt.Errorf("stored WAL was damaged at %s", d.Damaged)
	}
	s.mu.Lock()
	s.repair = r
	s.mu.Unlock()
	if r.Damage == nil {
		s.log.Warn("WAL that was being flushed is not there: it is neither served nor counted until it was received "+
			"again", "from_lsn", r.From, "to_lsn", r.To)
		return nil
	}
	s.log.Error("stored WAL is damaged: it is neither served nor counted until it was received again",
		"err", r.Damage, "from_lsn", r.From, "to_lsn", r.To)
	return nil
}

// repaired ends the repair when everything is there again.
func (s *Store) repaired() {
	s.mu.Lock()
	r := s.repair
	if r == nil || s.pos.Flushed < r.To {
		s.mu.Unlock()
		return
	}
	s.repair = nil
	s.mu.Unlock()
	s.log.Info("the WAL that was owed was received again", "from_lsn", r.From, "to_lsn", r.To)
	s.forgetOwed()
}

// giveUpRepair ends a repair because the new timeline tli begins at end: what is owed beyond it is in no
// history any more.
func (s *Store) giveUpRepair(tli lsn.TimelineID, end lsn.LSN) {
	r := s.dropRepair()
	if r == nil {
		return
	}
	if r.To > end {
		s.log.Error("WAL that is owed does not come again: the new timeline lacks it",
			"new_timeline", uint32(tli), "fork_lsn", end, "to_lsn", r.To)
	}
	s.forgetOwed()
}

// GiveUpRepair ends a repair because the operator has given that WAL up. What comes instead is the primary's, and is
// not held back. It is durable when nil is returned: a start that found the note would take that WAL for other WAL.
// After an error of the disk the store goes on owing. Call it from the goroutine of AppendFrom; it waits for the disk.
func (s *Store) GiveUpRepair() error {
	defer s.stages.halt()()
	unnoted := s.stages.unnoted
	r := s.dropRepair()
	if r == nil {
		s.in.owed, s.in.hold = lsn.Print{}, lsn.Invalid
		return nil
	}
	err := s.putAway(s.Positions().Received)
	if err == nil {
		err = s.forgive()
	}
	if err == nil {
		err = s.segs.remove(owedName)
	}
	if err == nil {
		err = s.fs.SyncDir(s.walDir)
	}
	if err != nil {
		s.mu.Lock()
		s.repair, s.stages.unnoted = r, unnoted
		s.mu.Unlock()
		return fmt.Errorf("give up WAL that is owed: %w", err)
	}
	s.in.owed, s.in.hold = lsn.Print{}, lsn.Invalid
	s.log.Warn("WAL that is owed is given up", "from_lsn", r.From, "to_lsn", r.To)
	return nil
}

// dropRepair ends the repair, also one that could not be noted yet, and returns it; nil: none went on. stages.markMu is
// held.
func (s *Store) dropRepair() *Repair {
	s.stages.unnoted = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repair
	s.repair = nil
	return r
}

// forgetOwed removes the note. One that stays is removed by the next start.
func (s *Store) forgetOwed() {
	if err := s.fs.Remove(s.walPath(owedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove the note of WAL that is owed", "err", err)
	}
}
