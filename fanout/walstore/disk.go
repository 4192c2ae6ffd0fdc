package walstore

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/internal/stamp"
)

// stages moves WAL from memory to disk in three steps. Each has its own lock, so that they overlap: WAL is written
// while older WAL is synced while the mark of still older WAL is written.
//
//	received ──writeStep──► written ──syncStep──► synced ──markStep──► flushed
//
// A step does one piece of work, or reports that there is none. The goroutines of Run call the steps when nudged;
// StartStream and the tests call them themselves. Locks are taken in this order: write, sync, mark, segments.mu,
// Store.mu.
type stages struct {
	write sync.Mutex
	cur   *segFile // the file being written

	sync    sync.Mutex
	syncing []*segFile // reused by each syncStep

	markMu sync.Mutex
	mark   markFile

	housekeeping sync.Mutex // housekeeping.go
}

// segFile is a segment being written. f and key are fixed; fresh is guarded by stages.sync.
type segFile struct {
	key   segKey
	end   lsn.LSN
	f     vfs.File
	fresh bool // its name is not durable yet
}

// sealJob is a segment that is complete and gets its digest once it is flushed.
type sealJob struct {
	key segKey
	end lsn.LSN
	sum uint64
	ok  bool // sum is known; else the segment is walked and hashed
}

// writeStep writes one piece of the tail, at most a block, to its segment file.
func (s *Store) writeStep() (bool, error) {
	s.stages.write.Lock()
	defer s.stages.write.Unlock()
	s.mu.Lock()
	from, tli := s.pos.Written, s.pos.Timeline
	piece := s.tail.piece(from, s.pos.Received)
	s.mu.Unlock()
	if len(piece) == 0 {
		return false, nil
	}
	to := from + lsn.LSN(len(piece))
	stamp.At(stamp.WriterWoken, to)
	f, err := s.writeFile(segKey{tli, s.segs.size.Segno(from)}, from)
	if f == nil || err != nil {
		return false, err
	}
	if _, err := f.f.WriteAt(piece, s.segs.size.Offset(from)); err != nil {
		return false, noSpace(fmt.Errorf("write WAL at %s: %w", from, err))
	}
	stamp.At(stamp.Written, to)
	s.mu.Lock()
	s.pos.Written = to
	paused := s.paused
	if to == f.end {
		b := s.tail.find(from)
		s.sealed = append(s.sealed, sealJob{key: f.key, end: f.end, sum: b.whole, ok: b.hashed})
		s.stages.cur = nil
	}
	s.mu.Unlock()
	s.syncC.Wake()
	if paused {
		s.spaceC.Wake()
	}
	s.watch.Nudge(MovedWritten)
	return true, nil
}

// writeFile gives the open file of segment k, in which at is the next byte to write; nil when the
// flusher is too far behind for one more.
func (s *Store) writeFile(k segKey, at lsn.LSN) (*segFile, error) {
	if f := s.stages.cur; f != nil && f.key == k {
		return f, nil
	}
	s.mu.Lock()
	unsynced := len(s.dirty)
	s.mu.Unlock()
	if unsynced >= maxUnsynced {
		return nil, nil
	}
	x := s.segs
	f := &segFile{key: k, end: x.size.Start(k.segno) + s.segLen()}
	var err error
	if off := x.size.Offset(at); off == 0 {
		f.fresh = true
		f.f, err = x.create(k)
	} else if f.f, err = s.fs.OpenWrite(x.path(x.name(k))); err == nil {
		err = f.f.Allocate(int64(x.size)) // damage may have cut it
	}
	if err != nil {
		if f.f != nil {
			_ = f.f.Close()
		}
		return nil, noSpace(fmt.Errorf("continue WAL at %s: %w", at, err))
	}
	x.add(k)
	s.mu.Lock()
	s.dirty = append(s.dirty, f)
	s.mu.Unlock()
	s.stages.cur = f
	s.housekeepingC.Wake() // a spare was used
	return f, nil
}

// syncStep makes durable what is written. After an error nothing can be said about any of it.
func (s *Store) syncStep() (bool, error) {
	s.stages.sync.Lock()
	defer s.stages.sync.Unlock()
	s.mu.Lock()
	target := s.pos.Written
	done := target == s.synced
	files := append(s.stages.syncing[:0], s.dirty...)
	s.stages.syncing = files
	s.mu.Unlock()
	if done {
		return false, nil
	}
	stamp.At(stamp.SyncBegun, target)
	names := false
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
	stamp.At(stamp.Synced, target)
	s.mu.Lock()
	s.synced = target
	s.mu.Unlock()
	s.markC.Wake()
	return true, s.closeSynced(target)
}

// closeSynced closes the files that lie wholly below synced.
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

// markStep writes the mark for what was synced and publishes it as flushed (ruling R10: the mark
// comes first).
func (s *Store) markStep() (bool, error) {
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	s.mu.Lock()
	next := mark{Timeline: s.pos.Timeline, LSN: s.synced, Start: s.start}
	before := s.pos.Flushed
	s.mu.Unlock()
	if next.LSN == before {
		return false, nil
	}
	stamp.At(stamp.MarkBegun, next.LSN)
	if err := s.stages.mark.write(next); err != nil {
		return false, err
	}
	stamp.At(stamp.Marked, next.LSN)
	s.mu.Lock()
	s.pos.Flushed = next.LSN
	s.mu.Unlock()
	s.repaired()
	if s.segs.size.Segno(before) != s.segs.size.Segno(next.LSN) {
		s.housekeepingC.Wake()
	}
	s.watch.Nudge(MovedFlushed)
	return true, nil
}

// errNoSpace marks an error after which the same write can be tried again. One of fsync can't.
var errNoSpace = errors.New("no space left for WAL")

// noSpace marks err if it says that there is no space now, or no descriptor to open a file with.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || descriptors.IsShort(err) {
		return fmt.Errorf("%w: %w", errNoSpace, err)
	}
	return err
}

// drain runs the steps until everything received is flushed.
func (s *Store) drain() error {
	for busy := true; busy; {
		busy = false
		for _, step := range []func() (bool, error){s.writeStep, s.syncStep, s.markStep} {
			for more := true; more; busy = busy || more {
				var err error
				if more, err = step(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
