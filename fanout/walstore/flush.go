package walstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// syncStep makes durable what is written. After an error nothing can be said about any of it.
func (s *Store) syncStep() (bool, error) {
	s.stages.sync.Lock()
	defer s.stages.sync.Unlock()
	s.mu.Lock()
	target := s.pos.Written
	done := target == s.synced
	s.syncing = target
	files := append(s.stages.syncing[:0], s.dirty...)
	s.stages.syncing = files
	s.mu.Unlock()
	if done {
		return false, nil
	}
	stamp.At(stamp.SyncBegun, target)
	began, names := time.Now(), false
	for _, f := range files {
		if err := f.f.Sync(); err != nil {
			return false, fmt.Errorf("flush WAL: %w", err)
		}
		names = names || f.fresh
	}
	if names {
		if err := s.fs.SyncDir(s.walDir); err != nil {
			// To open it may fail for want of a descriptor; then nothing was asked of it.
			return false, noSpace(fmt.Errorf("flush WAL directory: %w", err))
		}
		for _, f := range files {
			f.fresh = false
		}
	}
	s.syncs.WAL.Observe(time.Since(began))
	if err := checkNames(files); err != nil {
		return false, err
	}
	stamp.At(stamp.Synced, target)
	s.mu.Lock()
	s.synced = target
	waits := s.marked < s.pos.Written
	s.mu.Unlock()
	if waits {
		s.markC.Wake() // it may have gone as far ahead as it may
	}
	s.publishFlushed()
	return true, s.closeSynced(target)
}

// closeSynced closes the files that lie wholly below synced. An error is fatal to the store, so files may be open then.
func (s *Store) closeSynced(synced lsn.LSN) error {
	s.mu.Lock()
	var old []*segFile
	keep := s.dirty[:0:0]
	for _, f := range s.dirty {
		if f.end <= synced {
			old = append(old, f)
		} else {
			keep = append(keep, f)
		}
	}
	if len(old) > 0 {
		s.dirty = keep
	}
	s.mu.Unlock()
	for _, f := range old {
		if err := f.f.Close(); err != nil {
			return fmt.Errorf("close segment: %w", err)
		}
	}
	if len(old) > 0 {
		s.writeC.Wake() // it may wait for maxUnsynced
	}
	return nil
}

// markStep writes the mark beside the sync of the WAL that it names. false: there is none to write now. errNoSpace: it
// can be tried again; after any other error the store has failed.
func (s *Store) markStep() (bool, error) {
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	next, ok := s.nextMark()
	if !ok {
		return false, nil
	}
	if err := s.noteDebt(); err != nil {
		return false, err
	}
	stamp.At(stamp.MarkBegun, next.LSN)
	began := time.Now()
	if err := s.stages.mark.write(next); err != nil {
		return false, err
	}
	s.syncs.Position.Observe(time.Since(began))
	stamp.At(stamp.Marked, next.LSN)
	s.mu.Lock()
	s.marked, s.sure = next.LSN, next.Sure
	s.mu.Unlock()
	s.publishFlushed()
	return true, nil
}

// closeMark writes at a clean stop that all WAL up to the mark is sure: nothing is on its way any more. So the next
// start misses a segment that was removed meanwhile where it is asked for, and not as the end of the store. On a full
// disk the mark stays as it is, which is right as well.
func (s *Store) closeMark() error {
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	s.mu.Lock()
	m := mark{Timeline: s.pos.Timeline, Start: s.start, Sure: s.synced, LSN: s.synced, Print: s.stages.mark.last.Print}
	ahead := s.sure < m.Sure && s.marked == m.Sure
	s.mu.Unlock()
	if !ahead {
		return nil
	}
	switch err := s.stages.mark.write(m); {
	case errors.Is(err, errNoSpace):
		return nil
	case err != nil:
		return s.fail(err)
	}
	s.mu.Lock()
	s.sure = m.Sure
	s.mu.Unlock()
	return nil
}

// nextMark returns the mark to be written; false: there is none before a sync returns. It is ahead of what was synced
// by no more than the sync covers that goes on, or begins. Ahead it lies in one segment, whose hash says at a start
// whether the WAL is there. Where the hash is not known the mark waits for the sync. stages.markMu is held, so nothing
// changes the timeline.
func (s *Store) nextMark() (mark, bool) {
	s.mu.Lock()
	m := mark{Timeline: s.pos.Timeline, Start: s.start, Sure: s.synced, LSN: s.synced}
	marked, ahead := s.marked, s.pos.Written
	if s.syncing > s.synced {
		ahead = s.syncing
	}
	s.mu.Unlock()
	if marked > m.Sure || marked == ahead {
		return mark{}, false
	}
	ahead = min(ahead, m.Sure+maxAhead, s.segs.size.Floor(m.Sure)+s.segLen())
	if sum, ok := s.HashAt(m.Timeline, ahead); ok && ahead > m.Sure {
		m.LSN, m.Sum = ahead, sum
	}
	if m.LSN <= marked {
		return mark{}, false
	}
	m.Print = s.printBelow(m)
	return m, true
}

// printBelow names the last complete record at or below m.LSN by what is in memory, and otherwise the one that the mark
// before named.
func (s *Store) printBelow(m mark) lsn.Print {
	s.mu.Lock()
	at, oldest := s.pos.Complete, s.pos.Oldest
	s.mu.Unlock()
	if at > m.LSN { // more was received meanwhile, as always under load
		at = s.completeWithin(m.LSN, printReach)
	}
	if at > oldest {
		if sum, ok := s.HashAt(m.Timeline, at); ok {
			return lsn.Print{Timeline: m.Timeline, LSN: at, Sum: sum}
		}
	}
	if last := s.stages.mark.last.Print; last.Timeline == m.Timeline && last.LSN <= m.LSN {
		return last
	}
	return lsn.Print{}
}

// publishFlushed raises flushed to where the mark is, once the sync of that WAL has returned (ruling R10). Until then
// what the mark calls sure is flushed, and nothing in between: at a start no hash would say whether it is there. After
// a failure nothing is published.
func (s *Store) publishFlushed() {
	s.mu.Lock()
	before, now := s.pos.Flushed, s.marked
	if s.synced < now {
		now = s.sure
	}
	if now <= before || s.err != nil {
		s.mu.Unlock()
		return
	}
	s.pos.Flushed = now
	raise := s.ahead.on && s.ahead.to < now+raiseBelow
	s.mu.Unlock()
	if raise {
		s.oweC.Wake()
	}
	stamp.At(stamp.Flushed, now)
	s.moved.Store(true)
	s.repaired()
	if s.segs.size.Segno(before) != s.segs.size.Segno(now) {
		s.housekeepingC.Wake()
	}
	s.watch.Nudge(MovedFlushed)
}
