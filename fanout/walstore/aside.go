package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// asideDir returns the directory to which WAL of timeline old beyond fork is moved.
func (s *Store) asideDir(old lsn.TimelineID, fork lsn.LSN) string {
	return filepath.Join(s.dir, divergedName, fmt.Sprintf("%s-%X-%X", old, uint32(fork>>32), uint32(fork)))
}

// announceAside makes the directory of a move, durably, before the move is decided. After a crash the directory tells
// recovery that the segment of the fork holds WAL beyond it, which must be moved, too. Without the directory the
// timeline was left at its very end, and its last segment stays where it is.
func (s *Store) announceAside(old lsn.TimelineID, fork lsn.LSN) error {
	return s.makeAside(s.asideDir(old, fork))
}

// makeAside makes a directory below Dir/diverged, durably.
func (s *Store) makeAside(dir string) error {
	if err := s.fs.MkdirAll(dir); err != nil {
		return fmt.Errorf("move diverged WAL aside: %w", err)
	}
	for _, d := range []string{filepath.Dir(dir), s.dir} {
		if err := s.fs.SyncDir(d); err != nil {
			return fmt.Errorf("move diverged WAL aside: %w", err)
		}
	}
	return nil
}

// announcedAside reports whether such a move was begun, or done, at some time.
func (s *Store) announcedAside(old lsn.TimelineID, fork lsn.LSN) (bool, error) {
	_, err := s.fs.ReadDir(s.asideDir(old, fork))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for diverged WAL: %w", err)
	}
	return true, nil
}

// moveAside renames the segments of timeline old that reach beyond fork into Dir/diverged (ruling
// R3): never served, never deleted. What can't be moved now stays where it is, out of the index and
// therefore as safe, until the next start tries again.
func (s *Store) moveAside(old lsn.TimelineID, fork lsn.LSN) {
	keys := s.unlistBeyond(old, fork)
	if len(keys) == 0 {
		return
	}
	dir, err := s.asideDir(old, fork), s.announceAside(old, fork)
	if err == nil {
		dir, err = s.freeAside(dir, s.namesOf(keys))
	}
	if err := s.renameInto(dir, keys, err); err != nil {
		s.log.Error("move diverged WAL aside", "directory", dir, "err", err)
		return
	}
	s.log.Warn("segments beyond a fork were moved aside", "timeline", uint32(old), "fork_lsn", fork,
		"segments", len(keys), "directory", dir)
}

// dropPartial removes the segments of timeline old that hold nothing but the beginning of a record, from fork to
// end. The segment of the fork stays, as that of any timeline that was left.
func (s *Store) dropPartial(old lsn.TimelineID, fork, end lsn.LSN) {
	s.dropBeyond(old, fork, "cannot remove a segment with the beginning of a record")
	s.log.Info("the beginning of a record is left behind: the new timeline begins where the last complete one ends",
		"timeline", uint32(old), "fork_lsn", fork, "end_lsn", end)
}

// dropBeyond removes the segments of timeline tli that begin at or beyond end. One that stays is out of the index, and
// overwritten when WAL comes there; warning says so in the log.
func (s *Store) dropBeyond(tli lsn.TimelineID, end lsn.LSN, warning string) {
	first := end
	if !s.segs.size.IsStart(end) {
		first = s.segs.size.Floor(end) + s.segLen()
	}
	for _, k := range s.unlistBeyond(tli, first) {
		if err := s.segs.drop(k, false); err != nil {
			s.log.Warn(warning, "segment", s.segs.name(k), "err", err)
		}
	}
}

// unlistBeyond takes the segments of timeline old that reach beyond fork out of the index.
func (s *Store) unlistBeyond(old lsn.TimelineID, fork lsn.LSN) []segKey {
	x := s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	var keys []segKey
	for k := range x.have {
		if k.tli == old && x.size.Start(k.segno)+s.segLen() > fork {
			keys = append(keys, k)
			delete(x.have, k)
			delete(x.unread, k)
		}
	}
	x.closeIdle(func(k segKey) bool { return x.have[k] })
	return keys
}

// freeAside makes, durably, a directory in which none of names is, and returns it: dir, or one with a number behind it.
// What was moved aside before is never replaced.
func (s *Store) freeAside(dir string, names []string) (string, error) {
	for free, n := dir, 2; ; free, n = fmt.Sprintf("%s-%d", dir, n), n+1 {
		there, err := s.fs.ReadDir(free)
		if errors.Is(err, fs.ErrNotExist) {
			return free, s.makeAside(free)
		}
		if err != nil {
			return "", fmt.Errorf("move diverged WAL aside: %w", err)
		}
		if !slices.ContainsFunc(there, func(name string) bool { return slices.Contains(names, name) }) {
			return free, nil
		}
	}
}

// namesOf returns the names of segments.
func (s *Store) namesOf(keys []segKey) (names []string) {
	for _, k := range keys {
		names = append(names, s.segs.name(k))
	}
	return names
}

// renameInto moves the files of keys to dir, unless err says that there is none.
func (s *Store) renameInto(dir string, keys []segKey, err error) error {
	x := s.segs
	for _, k := range keys {
		if err == nil {
			if err = s.fs.Rename(x.path(x.name(k)), filepath.Join(dir, x.name(k))); errors.Is(err, fs.ErrNotExist) {
				err = nil // somebody took it
			}
		}
		if err == nil {
			err = x.remove(x.name(k) + digestSuffix)
		}
	}
	// The new names first: after a crash a segment may have both names, but never none.
	for _, d := range []string{dir, s.walDir} {
		if err == nil {
			err = s.fs.SyncDir(d)
		}
	}
	return err
}

// setAside moves everything in the WAL directory aside, if [Options].SetAside wants it, durably. After an error or a
// crash a part is there: call it again.
func (s *Store) setAside() error {
	end, err := s.markedEnd()
	if err == nil {
		s.aside, err = s.o.SetAside(end)
	}
	if err != nil || s.aside.Name == "" {
		return err
	}
	dir := filepath.Join(s.dir, divergedName, s.aside.Name)
	names, err := s.fs.ReadDir(s.walDir)
	if err == nil {
		dir, err = s.freeAside(dir, names)
	}
	for i := 0; err == nil && i < len(names); i++ {
		err = s.fs.Rename(s.walPath(names[i]), filepath.Join(dir, names[i]))
	}
	// The new names first, as in renameInto.
	for _, d := range []string{dir, filepath.Dir(dir), s.dir, s.walDir} {
		if err == nil {
			err = s.fs.SyncDir(d)
		}
	}
	if err != nil {
		return fmt.Errorf("set WAL aside that is given up: %w", err)
	}
	s.log.Warn("WAL that was given up is set aside, the store begins anew", "directory", dir, "files", len(names))
	return nil
}

// limit returns the promise that p is about the WAL that comes instead of what is set aside. A name of WAL that may
// have been given up is none of it. A promise about a later timeline is not about that WAL.
func (a Aside) limit(p Promise) Promise {
	if a.Name == "" || p.Timeline > a.From.Timeline {
		return p
	}
	if p.At > a.Has {
		p.At, p.Owes, p.Timeline = a.Has, min(p.Owes, a.Has), a.From.Timeline
	}
	if p.Print.LSN > a.From.LSN {
		p.Print = lsn.Print{}
	}
	return p
}

// markedEnd returns the end of the stored WAL by the mark alone, the zero Point where there is no mark.
func (s *Store) markedEnd() (lsn.Point, error) {
	raw, err := vfs.ReadFile(s.fs, s.walPath(markName), 2*copyStride)
	if errors.Is(err, fs.ErrNotExist) {
		return lsn.Point{}, nil
	}
	if err != nil {
		return lsn.Point{}, fmt.Errorf("read mark: %w", err)
	}
	_, m, err := newestMark(raw)
	if err != nil {
		return lsn.Point{}, &DamagedError{File: s.walPath(markName), Reason: "neither copy is valid: " + err.Error()}
	}
	return lsn.Point{Timeline: m.Timeline, LSN: m.LSN}, nil
}
