package walstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// makeStep does the work that must not delay WAL: digests of complete segments, spare segments, and
// the removal of old ones. Its errors are not the store's end: it is called again.
func (s *Store) makeStep() error {
	s.stages.make.Lock()
	defer s.stages.make.Unlock()
	if _, ok := s.Identity(); !ok {
		return nil
	}
	// On a full disk digests can't be written; what makes room comes all the same.
	if err := errors.Join(s.sealFlushed(), s.retain(), s.keepHistories()); err != nil {
		return err
	}
	for s.segs.spareCount() < spareTarget(s.segs.size) {
		if err := s.segs.makeSpare(); err != nil {
			return err
		}
	}
	return nil
}

// sealFlushed writes the digests of segments that are complete and flushed, in that order: a digest
// that outlived its segment's last bytes would call a torn segment damaged.
func (s *Store) sealFlushed() error {
	for {
		s.mu.Lock()
		var job sealJob
		if len(s.sealed) > 0 && s.sealed[0].end <= s.pos.Flushed {
			job = s.sealed[0]
		}
		s.mu.Unlock()
		if job.end == 0 {
			return nil
		}
		if err := s.seal(job); err != nil {
			return err
		}
		s.mu.Lock()
		s.sealed = s.sealed[1:]
		s.mu.Unlock()
	}
}

func (s *Store) seal(job sealJob) error {
	x := s.segs
	x.mu.Lock()
	still := x.have[job.key]
	x.mu.Unlock()
	if !still {
		return nil
	}
	name := x.name(job.key)
	if !job.ok {
		sum, err := s.sumFile(job.key)
		if err != nil {
			s.log.Error("segment left without digest", "segment", name, "err", err)
			return nil
		}
		job.sum = sum
	}
	d := digest{Start: x.size.Start(job.key.segno), Length: uint64(x.size), Sum: job.sum}
	if err := vfs.WriteFile(s.fs, x.path(name+digestSuffix), d.append(nil)); err != nil {
		return fmt.Errorf("write digest: %w", err)
	}
	return nil
}

// sumFile hashes a segment that has no digest, after its records were checked.
func (s *Store) sumFile(k segKey) (uint64, error) {
	x := s.segs
	x.mu.Lock()
	o, err := x.acquire(k)
	x.mu.Unlock()
	if err != nil {
		return 0, err
	}
	defer x.release(o)
	if err := s.verify(o); err != nil {
		return 0, err
	}
	h := xxhash.New()
	if err := hashFile(h, o.f, int64(x.size)); err != nil {
		return 0, err
	}
	return h.Sum64(), nil
}

// retain removes the segments that nobody needs. They leave the index first, under the lock under
// which readers register, so a reader either holds them back or does not find them.
func (s *Store) retain() error {
	s.mu.Lock()
	pos, h := s.pos, s.history
	s.mu.Unlock()
	if pos.Timeline == 0 {
		return nil
	}
	gone, reuse := s.unlist(h, pos, s.o.Short())
	if len(gone) == 0 {
		return nil
	}
	if err := s.noteOldest(s.Positions().Oldest); err != nil {
		return fmt.Errorf("note the oldest segment: %w", err)
	}
	x := s.segs
	for i, k := range gone {
		if err := x.drop(k, reuse[i]); err != nil {
			return err
		}
	}
	s.log.Debug("removed old segments", "count", len(gone), "oldest_lsn", s.Positions().Oldest)
	return x.fs.SyncDir(x.dir)
}

// Oldest is Positions().Oldest, after any removal that has asked what slots need: whoever says first that
// he needs WAL, and then asks, has everything from here on.
func (s *Store) Oldest() lsn.LSN {
	if _, ok := s.Identity(); ok {
		s.segs.mu.Lock()
		defer s.segs.mu.Unlock()
	}
	return s.Positions().Oldest
}

// unlist takes the removable segments out of the index, and moves Positions.Oldest. Slots are asked under
// the same lock, see [Store.Oldest], and after pos was read: a slot that is made from now on begins at or
// above it. reuse says which may become spares: a file that is still open somewhere must keep its content.
func (s *Store) unlist(h lsn.History, pos Positions, short bool) (gone []segKey, reuse []bool) {
	x := s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	slots := lsn.Invalid
	if f := s.slots.Load(); f != nil {
		slots = (*f)()
	}
	r := retention{
		segSize: x.size, slots: slots, keepSize: s.keepSize.Load(),
		received: pos.Received, mark: pos.Flushed,
	}
	if !short {
		for rd := range x.readers {
			r.readers = append(r.readers, lsn.LSN(rd.hold.Load()))
		}
		if x.imported != lsn.Invalid && time.Now().Before(x.importedUntil) {
			r.readers = append(r.readers, x.imported) // somebody asked for it a moment ago
		}
	}
	for k := range x.have {
		r.segments = append(r.segments, k)
	}
	gone = r.removable()
	for _, k := range gone {
		delete(x.have, k)
	}
	if len(gone) > 0 {
		oldest := x.oldest(h, pos.Flushed)
		s.mu.Lock()
		s.pos.Oldest = max(s.pos.Oldest, oldest)
		s.mu.Unlock()
	}
	x.closeIdle(func(k segKey) bool { return x.have[k] })
	for _, k := range gone {
		reuse = append(reuse, x.open[k] == nil)
	}
	return gone, reuse
}
