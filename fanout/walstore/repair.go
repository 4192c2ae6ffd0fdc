package walstore

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Repair is WAL [From, To) that a start owes: it was here once and may have been reported. The store then ended at
// From. It claims and serves nothing beyond its end, and the stream brings the rest again.
type Repair struct {
	From, To lsn.LSN
	// Damage says what was found of WAL that was durable, of an earlier start its place alone. nil: that WAL was being
	// flushed, and it is not known whether it had been reported.
	Damage error
}

// The file that remembers a repair over restarts has the shape of the mark in version 1: LSN is To, Start is where
// damage was found first, 0 for none.
const (
	owedName  = "owed"
	owedMagic = "RPXO"
)

// Repairing is the repair that goes on; false: there is none.
func (s *Store) Repairing() (Repair, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repair == nil {
		return Repair{}, false
	}
	return *s.repair, true
}

// owe notes durably, before the mark m is lowered, that WAL up to it may have been there. damaged nil: it was being
// flushed. An older note that reaches further stays.
func (s *Store) owe(m mark, damaged *DamagedError) {
	if old, ok := s.readOwed(); ok && old.Timeline == m.Timeline && old.LSN >= m.LSN {
		return
	}
	note := mark{Timeline: m.Timeline, LSN: m.LSN}
	if damaged != nil {
		note.Start = damaged.LSN
	}
	if err := vfs.WriteFile(s.fs, s.walPath(owedName), slotFileContent(owedMagic, note.append(nil))); err != nil {
		// On a full disk; what is claimed depends on the mark alone.
		s.log.Error("cannot note for the next start that WAL is owed", "err", err, "to_lsn", m.LSN)
	}
}

func (s *Store) readOwed() (mark, bool) {
	raw, err := vfs.ReadFile(s.fs, s.walPath(owedName), 2*slotStride)
	if err != nil {
		return mark{}, false
	}
	_, payload, err := newestSlot(raw, owedMagic, markLength)
	if err != nil {
		return mark{}, false // it only explains
	}
	return decodeMark(payload), true
}

// resumeRepair begins the repair of what is owed, found now (damaged, below m) or at an earlier start.
func (s *Store) resumeRepair(m mark, damaged *DamagedError) error {
	pos := s.Positions()
	note, ok := s.readOwed()
	switch {
	case m.LSN > pos.Flushed && (!ok || note.Timeline != m.Timeline || note.LSN < m.LSN):
		note = mark{Timeline: m.Timeline, LSN: m.LSN} // a newer note could not be written
	case !ok:
		return nil
	}
	if note.Timeline != pos.Timeline || note.LSN <= pos.Flushed {
		return s.segs.remove(owedName)
	}
	r := &Repair{From: pos.Flushed, To: note.LSN}
	switch {
	case damaged != nil:
		r.Damage = damaged
	case note.Start != lsn.Invalid:
		r.Damage = fmt.Errorf("stored WAL was damaged at %s", note.Start)
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
	s.mu.Lock()
	r := s.repair
	s.repair = nil
	s.mu.Unlock()
	if r == nil {
		return
	}
	if r.To > end {
		s.log.Error("WAL that is owed does not come again: the new timeline lacks it",
			"new_timeline", uint32(tli), "fork_lsn", end, "to_lsn", r.To)
	}
	s.forgetOwed()
}

// forgetOwed removes the note. One that stays is removed by the next start.
func (s *Store) forgetOwed() {
	if err := s.fs.Remove(s.walPath(owedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove the note of WAL that is owed", "err", err)
	}
}
