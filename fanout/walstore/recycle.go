package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// sparePrefix begins the name of a spare segment, which no tool takes for a segment.
const sparePrefix = "spare."

// isSpare recognises the names of spare segments.
func isSpare(name string) bool { return strings.HasPrefix(name, sparePrefix) }

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

// Oldest returns Positions().Oldest, after any removal that has asked what slots need: whoever says first that he needs
// WAL, and then asks, has everything from here on.
func (s *Store) Oldest() lsn.LSN {
	if _, ok := s.Identity(); ok {
		s.segs.mu.Lock()
		defer s.segs.mu.Unlock()
	}
	return s.Positions().Oldest
}

// sureUpTo returns the position at which the next recovery starts to check: the one that the durable mark calls sure,
// at most at.
func (s *Store) sureUpTo(at lsn.LSN) lsn.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(at, s.sure)
}

// unlist takes the removable segments out of the index, and moves Positions.Oldest. short: room is short, so readers
// hold nothing back. Slots are asked under the same lock, see [Store.Oldest], and after pos was read: a slot that is
// made from now on begins at or above it. reuse says which may become spares. A file that is open must keep its
// content. So must one that anybody has read since it was made, or may have read before this process began. sendfile
// puts the file's own pages into a socket, and there they stay until the client has read them.
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
		received: pos.Received, mark: s.sureUpTo(pos.Flushed),
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
		reuse = append(reuse, x.open[k] == nil && x.unread[k])
		delete(x.unread, k)
	}
	return gone, reuse
}

// drop removes k's files. Nobody has them open: k has left the index. With reuse up to maxRecycled files are kept as
// spares.
func (x *segments) drop(k segKey, reuse bool) error {
	name := x.name(k)
	if err := x.remove(name + digestSuffix); err != nil {
		return err
	}
	if !reuse || x.spareCount() >= maxRecycled {
		return x.remove(name)
	}
	spare := x.spareName()
	if err := x.fs.Rename(x.path(name), x.path(spare)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("recycle segment: %w", err)
	}
	x.addSpare(spare)
	return nil
}

func (x *segments) takeSpare() (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.spares)
	if n == 0 {
		return "", false
	}
	name := x.spares[n-1]
	x.spares = x.spares[:n-1]
	return name, true
}

// spareName gives a name that no spare has.
func (x *segments) spareName() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spareLast++
	return fmt.Sprintf("%s%d", sparePrefix, x.spareLast)
}

func (x *segments) addSpare(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spares = append(x.spares, name)
}

func (x *segments) spareCount() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.spares)
}

// makeSpare writes a file of zeros, durable as far as its content goes: blocks that have been
// written once need no metadata when WAL goes into them.
func (x *segments) makeSpare() error {
	name := x.spareName()
	f, err := x.fs.Create(x.path(name))
	if err != nil {
		return fmt.Errorf("create spare segment: %w", err)
	}
	err = f.Allocate(int64(x.size))
	zeros := make([]byte, min(int64(x.size), BlockSize))
	for off := int64(0); err == nil && off < int64(x.size); off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros, off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("fill spare segment: %w", err), x.fs.Remove(x.path(name)))
	}
	x.addSpare(name)
	return nil
}
