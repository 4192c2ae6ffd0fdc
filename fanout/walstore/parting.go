package walstore

import (
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Difference returns the first position at which sent differs from the stored WAL. sent is WAL of the current timeline
// that begins at at, and all of it must be received here. differs is false when all of it is the same. Bytes behind an
// XLOG_SWITCH are not compared. It may wait for the disk. Any goroutine may call it.
//
// Errors: those of reading.
func (s *Store) Difference(at lsn.LSN, sent []byte) (d lsn.LSN, differs bool, err error) {
	stored := make([]byte, len(sent))
	if err := s.readStored(at, stored); err != nil {
		return 0, false, err
	}
	return s.difference(at, sent, stored)
}

// Dated reports whether the stored WAL in [from, to) has a complete record that ends a transaction. from is a segment's
// beginning. Such a record has its time, in microseconds, so two histories that both have these bytes had not parted
// before. It may wait for the disk. Any goroutine may call it.
//
// Errors: those of reading.
func (s *Store) Dated(from, to lsn.LSN) (bool, error) {
	w := s.walker(s.Positions().Timeline)
	w.Limit, w.Pages = to, s.pagesAcross(to)
	_, err := w.Start(from)
	for err == nil {
		var rec walformat.Record
		if rec, err = w.Next(); err == nil && rec.IsTransactionEnd() {
			return true, nil
		}
	}
	return false, ignoreEnd(err)
}
