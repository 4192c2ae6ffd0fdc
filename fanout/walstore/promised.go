package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// PromisedAll as a promise says: anything that is in the store may have been reported.
const PromisedAll = lsn.LSN(math.MaxUint64)

// Promise is the durable bound of what was reported under a rule (ruling R3).
type Promise struct {
	At lsn.LSN // no position beyond it was ever reported
	// System and Timeline are those of the WAL that At is a position of. 0: not known, in a file of release v0.1.0.
	System   lsn.SystemID
	Timeline lsn.TimelineID
	// Print names WAL that the store had, for one that is emptied and can't compare bytes. Zero: nothing is known.
	Print lsn.Print
	// Owes is the position up to which WAL must come again before the end of the store says anything (ruling R42). 0:
	// nothing is owed.
	Owes lsn.LSN
}

// Beyond reports whether p is about a later timeline than that of a store at pos. Such a store was emptied, and has
// begun anew below a fork, as the primary's slot was there. It gets to that timeline yet. What it reports meanwhile is
// in the history of whichever server has what was promised.
func (p Promise) Beyond(pos Positions) bool { return pos.Timeline != 0 && p.Timeline > pos.Timeline }

// promised holds the promise that is on disk.
type promised struct {
	mu  sync.Mutex
	now Promise
	seq uint64 // 0: there is no file
}

// Promised returns the promise that [Store.SetPromised] made durable last: no position beyond At was ever reported
// under a rule. After a start that finds [PromisedAll] it is the end of the recovered WAL. Any goroutine may call it.
func (s *Store) Promised() Promise {
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	return s.promised.now
}

// SetPromised makes the bound durable, by one fsync, as one of the WAL that is stored now. Raise it before more is
// reported, lower it only to what has been. What is owed falls with it, and is paid once the store has flushed
// as far. A bound of a later timeline than the stored one, see [Promise.Beyond], stays one of that while it is not
// raised: the rest was given up there. Where nothing is left it is one of the WAL that is stored. Any goroutine may
// call it.
func (s *Store) SetPromised(to lsn.LSN) error {
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	id, _ := s.Identity()
	pos := s.Positions() // those of before would lower the bound of aheadStep
	print := s.printUpTo(pos, to)
	next, was := s.promised.now, s.promised.now.At
	next.At, next.Owes = to, min(next.Owes, to)
	if next.Print.LSN > to {
		next.Print = lsn.Print{}
	}
	keeps := next.Beyond(pos) && to <= was && to != lsn.Invalid
	if pos.Timeline != 0 && !keeps { // an empty store keeps what it has lost
		next.Owes = s.owes(next, pos)
		next.System, next.Timeline = id.System, pos.Timeline
		switch owed := s.owedName(next.Print, to); {
		case owed != lsn.Print{}:
			next.Print = owed
		case print != (lsn.Print{}) || !s.holds(next.Print):
			next.Print = print
		}
	}
	if err := s.savePromise(next); err != nil {
		return err
	}
	if !next.Beyond(pos) {
		s.setAhead(pos.Timeline, next.Owes)
	}
	return nil
}

// owes returns the end of the WAL that a start owes after next was saved, of a store at pos. The caller holds the lock.
func (s *Store) owes(next Promise, pos Positions) lsn.LSN {
	s.mu.Lock()
	on, history := s.ahead.on, s.history
	bound := lsn.Invalid
	if s.repair != nil {
		bound = s.repair.Bound
	}
	s.mu.Unlock()
	to := next.Owes
	if fork, _, left := history.SwitchPoint(next.Timeline); left {
		to = min(to, fork)
	}
	if on && next.At == PromisedAll {
		to = pos.Flushed + reportAhead
	}
	if to = max(to, bound); to <= pos.Flushed {
		return lsn.Invalid
	}
	return to
}

// closePromise notes at a clean stop that nothing is owed for having been reported: all of it is flushed. On a full
// disk the next start looks whether the machine went on, which is right as well.
func (s *Store) closePromise() error {
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	next := s.promised.now
	if r, owes := s.Repairing(); owes && r.Bound != lsn.Invalid || next.Owes == lsn.Invalid {
		return nil
	}
	next.Owes = lsn.Invalid
	if err := s.savePromise(next); err != nil && !errors.Is(noSpace(err), errNoSpace) {
		return s.fail(err)
	}
	return nil
}

// forgive makes durable that nothing is owed for having been reported: the operator has given it up.
func (s *Store) forgive() error {
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	next := s.promised.now
	next.Owes = lsn.Invalid
	return s.savePromise(next)
}

// printUpTo names the last complete record up to to by what is in memory: it is asked for on the way of a report. Zero:
// it is not known.
func (s *Store) printUpTo(pos Positions, to lsn.LSN) lsn.Print {
	at := pos.Complete
	if pos.Timeline == 0 || at <= pos.Oldest {
		return lsn.Print{}
	}
	if to < at {
		var err error
		if at, err = s.LastComplete(pos.Timeline, to); err != nil || at <= pos.Oldest {
			return lsn.Print{}
		}
	}
	sum, ok := s.HashAt(pos.Timeline, at)
	if !ok {
		return lsn.Print{}
	}
	return lsn.Print{Timeline: pos.Timeline, LSN: at, Sum: sum}
}

// holds reports whether p is a position of the WAL that is stored now: else it is of an earlier life, whose WAL was
// compared, or given up.
func (s *Store) holds(p lsn.Print) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.LSN > s.pos.Oldest && s.mayHash(p.Timeline, p.LSN)
}

// owedName returns the name of what the store owes up to to, by the debt or by was, the one promised before. Until it
// came, nothing else tells a primary that has it. Zero: nothing is owed there.
func (s *Store) owedName(was lsn.Print, to lsn.LSN) (name lsn.Print) {
	r, owes := s.Repairing()
	pos := s.Positions()
	for _, p := range []lsn.Print{was, r.Print} {
		if owes && p.Timeline == pos.Timeline && p.LSN > max(pos.Received, name.LSN) && p.LSN <= min(to, r.To) {
			name = p
		}
	}
	return name
}

// savePromise writes next; the caller holds the lock. While the form stays the same one copy is written. When it
// changes the file is replaced, so that no release takes an older copy of the form that it knows for the newest.
func (s *Store) savePromise(next Promise) error {
	p := &s.promised
	if p.seq != 0 && p.now == next {
		return nil
	}
	if err := s.Err(); errors.Is(err, vfs.ErrMoved) {
		return err // it would stand in another's directory
	}
	path := filepath.Join(s.dir, promisedName)
	err := fs.ErrNotExist
	if p.seq != 0 && (p.now.Owes == 0) == (next.Owes == 0) {
		err = s.writePromiseCopy(path, next)
	}
	if errors.Is(err, fs.ErrNotExist) {
		seq := p.seq + 2
		if err = vfs.WriteFile(s.fs, path, promiseFile(seq, next)); err == nil {
			p.seq = seq
		}
	}
	if err != nil {
		return fmt.Errorf("save what was promised: %w", err)
	}
	p.now = next
	return nil
}

// writePromiseCopy writes next to the copy that does not hold the last one. After a failure it is the same copy again:
// the other one is good.
func (s *Store) writePromiseCopy(path string, next Promise) error {
	f, err := s.fs.OpenWrite(path)
	if err != nil {
		return err
	}
	seq := s.promised.seq + 1
	_, err = f.WriteAt(appendPromise(nil, seq, next), int64(seq%2)*copyStride)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		s.promised.seq = seq
	}
	return errors.Join(err, f.Close())
}

// readPromised reads the bound from disk. It replaces PromisedAll by the end of the recovered WAL. If the store has
// gone over to another timeline since, the bound ends at the fork: nothing was left behind that was not given up. WAL
// that was being flushed does not raise it: nobody knows whether a record ends there (docs/adr/0087).
func (s *Store) readPromised() error {
	path := filepath.Join(s.dir, promisedName)
	raw, err := vfs.ReadFile(s.fs, path, 2*copyStride)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was promised: %w", err)
	}
	seq, now, err := newestPromise(raw)
	if err != nil {
		return &DamagedError{File: path, Reason: err.Error()}
	}
	s.promised.seq, s.promised.now = seq, now
	if now = s.aside.limit(now); now != s.promised.now {
		if err := s.savePromise(now); err != nil {
			return err
		}
	}
	to, pos := now.At, s.Positions()
	if pos.Timeline == 0 {
		return nil // the store is empty, what was stored is not known here
	}
	if now.Beyond(pos) {
		return nil // none of that is stored yet
	}
	s.oweReported(now)
	if fork, _, ok := s.History().SwitchPoint(now.Timeline); ok && to != PromisedAll {
		to = min(to, fork)
	}
	if to == PromisedAll {
		to = pos.Received
		if r, owes := s.Repairing(); owes && r.Damage != nil {
			to = max(to, r.To) // was stored, and will be again
		}
	}
	if r, owes := s.Repairing(); owes {
		to = max(to, r.Bound) // it stays promised when it is paid
	}
	return s.SetPromised(to)
}
