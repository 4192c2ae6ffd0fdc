package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/internal/stamp"
)

// stages moves WAL from memory to disk in three steps. Each has its own lock, so that they overlap: WAL is written
// while older WAL is synced and, beside that, the mark which names it (docs/adr/0087).
//
//	                      ┌──syncStep──► synced ─┐
//	received ──writeStep──► written              ├─ both ──► flushed
//	                      └──markStep──► marked ─┘
//
// A step does one piece of work, or reports that there is none. The goroutines of Run call the steps when nudged;
// StartStream and the tests call them themselves. Locks are taken in this order: write, sync, mark, segments.mu,
// Store.mu.
type stages struct {
	write sync.Mutex
	cur   *segFile // the file being written

	sync    sync.Mutex
	syncing []*segFile // reused by each syncStep

	markMu  sync.Mutex
	mark    markFile
	unnoted *debt // to be noted before a lower mark is written; nil: none is

	housekeeping sync.Mutex // housekeeping.go
}

// halt waits for the end of the steps that run, housekeeping included, and lets none begin until resume is called. Call
// it to put the end of the store back, or to wipe what lies beyond it: that changes files, the mark and the positions
// together. A step amid that would write WAL or a mark beyond the new end, and housekeeping would remove by the old
// positions. The locks are taken in the order in which they nest: hold none of them, nor segments.mu or Store.mu.
func (g *stages) halt() (resume func()) {
	g.housekeeping.Lock()
	g.write.Lock()
	g.sync.Lock()
	g.markMu.Lock()
	return func() {
		g.markMu.Unlock()
		g.sync.Unlock()
		g.write.Unlock()
		g.housekeeping.Unlock()
	}
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
	from, h := s.pos.Written, s.history
	piece := s.tail.piece(from, s.pos.Received)
	s.mu.Unlock()
	if len(piece) == 0 {
		return false, nil
	}
	to := from + lsn.LSN(len(piece))
	stamp.At(stamp.WriterWoken, to)
	f, err := s.writeFile(segKey{h.TimelineOf(s.segs.size.Floor(from) + s.segLen() - 1), s.segs.size.Segno(from)}, from)
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
	s.moved.Store(true)
	s.syncC.Wake()
	s.markC.Wake()
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
	} else if f.f, err = s.goOn(k, at); err == nil {
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

// goOn opens the file of segment k, which has WAL up to at. If that file is lost, and the store ends no later than its
// timeline began, all of that WAL is in files of older timelines: it is made anew.
func (s *Store) goOn(k segKey, at lsn.LSN) (vfs.File, error) {
	path := s.segs.path(s.segs.name(k))
	f, err := s.fs.OpenWrite(path)
	if !errors.Is(err, fs.ErrNotExist) || at > s.History().Begin() || s.segs.lists(k) {
		return f, err
	}
	if err := s.remakeFork(k, at); err != nil {
		return nil, err
	}
	return s.fs.OpenWrite(path)
}

// remakeFork makes the file of segment k with the WAL of older timelines up to end, durably: all of it or nothing.
func (s *Store) remakeFork(k segKey, end lsn.LSN) error {
	temp := s.walPath(s.segs.name(k) + vfs.TempSuffix)
	f, err := s.fs.Create(temp)
	if err != nil {
		return noSpace(err)
	}
	err = f.Allocate(int64(s.segs.size)) // a short file reads as damage
	if err == nil {
		err = s.copyUpTo(f, k, end)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(temp, s.segs.path(s.segs.name(k)))
	}
	if err == nil {
		err = s.fs.SyncDir(s.walDir)
	}
	if err != nil {
		err = fmt.Errorf("make the segment of the fork anew: %w", err)
		return noSpace(errors.Join(err, s.segs.remove(filepath.Base(temp))))
	}
	s.segs.add(k)
	return nil
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

// drain runs the steps until everything received is flushed, or one fails: the rest stays to be written. It blocks for
// the disk.
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
