package walstore

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// wipe makes the bytes behind end, where the store ends, unreadable, durably: nobody shall have that WAL again. A later
// start that goes on beyond the mark, record by record, would take it for WAL that came. No stage writes meanwhile.
func (s *Store) wipe(end lsn.LSN) error {
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
	for _, k := range behind {
		if err := x.drop(k, false); err != nil {
			return err
		}
	}
	if !x.size.IsStart(end) {
		if err := s.clearFrom(file(x.size.Segno(end)), end); err != nil {
			return fmt.Errorf("clear WAL that is not to come back: %w", err)
		}
	}
	return s.fs.SyncDir(s.walDir)
}

// clearFrom writes zeros from at to the end of segment k, durably. A file that is not there has nothing to clear.
func (s *Store) clearFrom(k segKey, at lsn.LSN) error {
	f, err := s.fs.OpenWrite(s.segs.path(s.segs.name(k)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	zeros := make([]byte, hashBuffer)
	for stop := s.segs.size.Start(k.segno) + s.segLen(); at < stop && err == nil; {
		part := zeros[:min(lsn.LSN(len(zeros)), stop-at)]
		_, err = f.WriteAt(part, s.segs.size.Offset(at))
		at += lsn.LSN(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
