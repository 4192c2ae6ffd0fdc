package walstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// putAway moves the bytes behind end, where the store ends, aside, durably. A later start that goes on beyond the mark,
// record by record, would take them for WAL that came. They are not deleted (ruling R3). After an error some are moved:
// call it again. No stage writes meanwhile.
func (s *Store) putAway(end lsn.LSN) error {
	x := s.segs
	h := s.History()
	file := func(segno uint64) segKey { return segKey{h.TimelineOf(x.size.Start(segno) + s.segLen() - 1), segno} }
	x.mu.Lock()
	var behind []segKey
	for k := range x.have {
		if k == file(k.segno) && x.size.Start(k.segno) >= end {
			behind = append(behind, k)
			delete(x.have, k)
			x.reopen(k)
		}
	}
	x.mu.Unlock()
	name := fmt.Sprintf("%s-%X-%X-other", h.Timeline, uint32(end>>32), uint32(end))
	dir := filepath.Join(s.dir, divergedName, name)
	if len(behind) > 0 {
		free, err := s.freeAside(dir, s.namesOf(behind))
		if err = s.renameInto(free, behind, err); err != nil {
			return fmt.Errorf("move WAL aside that is not to come back: %w", err)
		}
		s.log.Warn("WAL behind the end of the store is moved aside", "end_lsn", end, "segments", len(behind),
			"directory", free)
	}
	if !x.size.IsStart(end) {
		if err := s.clearFrom(file(x.size.Segno(end)), end, dir); err != nil {
			return fmt.Errorf("clear WAL that is not to come back: %w", err)
		}
	}
	return s.fs.SyncDir(s.walDir)
}

// clearFrom writes zeros from at to the end of segment k, durably. If anything else is there, a copy of the segment
// goes to dir before. A file that is not there has nothing to clear.
func (s *Store) clearFrom(k segKey, at lsn.LSN, dir string) error {
	f, err := s.fs.OpenWrite(s.segs.path(s.segs.name(k)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stop := s.segs.size.Start(k.segno) + s.segLen()
	zeros, err := s.zeros(f, at, stop)
	if err == nil && !zeros {
		if err = s.copyAside(f, k, dir); err == nil {
			err = s.writeZeros(f, at, stop)
		}
	}
	return errors.Join(err, f.Close())
}

// zeros reports whether the file of a segment has nothing but zeros from from to to.
func (s *Store) zeros(f vfs.File, from, to lsn.LSN) (bool, error) {
	buf := make([]byte, hashBuffer)
	for at := from; at < to; {
		part := buf[:min(lsn.LSN(len(buf)), to-at)]
		n, err := f.ReadAt(part, s.segs.size.Offset(at))
		if slices.ContainsFunc(part[:n], func(b byte) bool { return b != 0 }) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		at += lsn.LSN(n)
	}
	return true, nil
}

// copyAside copies the file f of segment k below dir, durably.
func (s *Store) copyAside(f vfs.File, k segKey, dir string) error {
	free, err := s.freeAside(dir, []string{s.segs.name(k)})
	if err != nil {
		return err
	}
	to, err := s.fs.Create(filepath.Join(free, s.segs.name(k)))
	if err != nil {
		return err
	}
	buf, n := make([]byte, hashBuffer), 0
	for at := int64(0); err == nil && at < int64(s.segLen()); at += int64(n) {
		n, err = f.ReadAt(buf[:min(int64(len(buf)), int64(s.segLen())-at)], at)
		if err == nil || err == io.EOF && n > 0 {
			_, err = to.WriteAt(buf[:n], at)
		}
	}
	if err == io.EOF {
		err = nil
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return s.fs.SyncDir(free)
}

func (s *Store) writeZeros(f vfs.File, at, stop lsn.LSN) (err error) {
	zeros := make([]byte, hashBuffer)
	for at < stop && err == nil {
		part := zeros[:min(lsn.LSN(len(zeros)), stop-at)]
		_, err = f.WriteAt(part, s.segs.size.Offset(at))
		at += lsn.LSN(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}
