package walstore

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

// housekeepingStep does the work that must not delay WAL: digests of complete segments, spare segments, and
// the removal of old ones. Its errors are not the store's end: it is called again.
func (s *Store) housekeepingStep() error {
	s.stages.housekeeping.Lock()
	defer s.stages.housekeeping.Unlock()
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

// sumFile hashes a segment that has no digest, after its records were checked: a damaged one is a *[DamagedError]. It
// waits for the disk.
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
