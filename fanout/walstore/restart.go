package walstore

import (
	"errors"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// SentRestart finds, in WAL as a primary sends it, where the primary has begun to write anew. A primary that went down
// writes a shutdown checkpoint: as it stops, or once its recovery is over. One that was up all the time writes none.
// One goroutine at a time.
type SentRestart struct {
	id     Identity
	tli    lsn.TimelineID
	begin  lsn.LSN // of wal, a page's start
	wal    []byte
	framer walformat.Framer
}

// NewSentRestart begins with WAL of timeline t from begin on, a page's start.
func NewSentRestart(id Identity, t lsn.TimelineID, begin lsn.LSN) *SentRestart {
	return &SentRestart{id: id, tli: t, begin: begin, framer: walformat.Framer{Source: id.source()}}
}

// Add takes the next bytes and keeps a copy.
func (f *SentRestart) Add(sent []byte) {
	for len(sent) > 0 {
		at := f.begin + lsn.LSN(len(f.wal))
		piece := sent[:min(len(sent), lsn.PageSize-at.PageOffset())]
		is := f.framer.Take(at, piece)
		f.wal = append(append(f.wal, piece[:is]...), make([]byte, len(piece)-is)...) // behind an XLOG_SWITCH is no WAL
		sent = sent[len(piece):]
	}
}

// First returns the first restart that the WAL shows among the records that begin at since or beyond. What the primary
// had before it went down ends at from at the latest. clean is the end of the checkpoint that a standby has too where
// the primary stopped in order. WAL that does not check counts as a restart. found false: there is none.
func (f *SentRestart) First(since lsn.LSN) (from, clean lsn.LSN, found bool) {
	end := f.begin + lsn.LSN(len(f.wal))
	w := walformat.Walker{Source: f.id.source(), Timeline: f.tli, Limit: end, Pages: f.page}
	before, err := w.Start(f.begin)
	for err == nil {
		var r walformat.Record
		switch r, err = w.Next(); {
		case err != nil, r.LSN < since:
		case r.IsOverwriteContrecord():
			return max(before, since), lsn.Invalid, true
		case r.IsShutdownCheckpoint():
			return r.LSN, r.End, true
		}
		if err == nil {
			before = r.End
		}
	}
	if errors.Is(err, walformat.ErrShort) || errors.Is(err, io.EOF) || before >= end {
		return lsn.Invalid, lsn.Invalid, false
	}
	return max(before, since), lsn.Invalid, true
}

// page returns the page at at, with zeros behind what was sent.
func (f *SentRestart) page(at lsn.LSN) ([]byte, error) {
	if at < f.begin || at >= f.begin+lsn.LSN(len(f.wal)) {
		return nil, io.EOF
	}
	rest := f.wal[at-f.begin:]
	if len(rest) >= lsn.PageSize {
		return rest[:lsn.PageSize], nil
	}
	page := make([]byte, lsn.PageSize)
	copy(page, rest)
	return page, nil
}
