package walstore

import (
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Difference gives the first position at which sent, WAL of the current timeline that begins at at, differs from what
// is stored; differs is false when all of it is the same. All of it must be received. Bytes behind an XLOG_SWITCH are
// not compared. It may wait for the disk. Any goroutine may call it.
//
// Errors: those of reading.
func (s *Store) Difference(at lsn.LSN, sent []byte) (d lsn.LSN, differs bool, err error) {
	stored := make([]byte, len(sent))
	if err := s.readStored(at, stored); err != nil {
		return 0, false, err
	}
	return s.difference(at, sent, stored)
}

// Dated reports whether the stored WAL from from, a segment's beginning, to to has the end of a transaction, as a
// complete record: it says when that was, in microseconds, so two histories that both have these bytes had not parted
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
