package walstore

import (
	"io"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// EndsWithShutdownCheckpoint reports whether end is the received end and that of a shutdown checkpoint,
// whose checksum is verified. Such a record is shorter than a page, so it begins in the last page or the
// one before. What can't be read or verified counts as no such record. Any goroutine may call it.
func (s *Store) EndsWithShutdownCheckpoint(end lsn.LSN) bool {
	id, adopted := s.Identity()
	h, pos, _ := s.readState()
	if !adopted || end == lsn.Invalid || end != pos.Received {
		return false
	}
	last := (end - 1).PageStart()
	from := last
	if last > pos.Oldest.PageStart() {
		from -= lsn.PageSize
	}
	page := make([]byte, lsn.PageSize)
	w := walformat.Walker{
		Source:   walformat.Source{System: id.System, SegSize: id.SegSize, Major: id.ServerMajor},
		Timeline: h.Timeline, Limit: end,
		Pages: func(at lsn.LSN) ([]byte, error) {
			if at < from || at >= end {
				return nil, io.EOF
			}
			return page, s.readStored(at, page[:min(lsn.PageSize, end-at)])
		},
	}
	if _, err := w.Start(from); err != nil {
		// The segment before ends with the zeros of an XLOG_SWITCH: the record begins in the last page.
		if _, err = w.Start(last); err != nil {
			return false
		}
	}
	for {
		if r, err := w.Next(); err != nil || r.End >= end {
			return err == nil && r.End == end && r.IsShutdownCheckpoint()
		}
	}
}
