package walformat

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// PageFunc gives the page that starts at at: lsn.PageSize bytes, valid until the next call. The
// error ends the walk; io.EOF says that there is no such page.
type PageFunc func(at lsn.LSN) ([]byte, error)

// The reasons why a walk ends.
var (
	ErrShort  = errors.New("WAL ends within the record")   // before Limit, or the source's end
	ErrRecord = errors.New("no valid record")              // header, length, prev link
	ErrCRC    = errors.New("record checksum is wrong")     //
	ErrPages  = errors.New("record's next page is wrong")  // page header, continuation
	ErrZeros  = errors.New("zeros end before the segment") // after an XLOG_SWITCH
	ErrBroken = errors.New("record was given up")          // only with StopAtBroken
)

// EndError ends a walk at At and wraps one of the reasons. Everything before At is valid WAL; the record or the zeros
// that follow are not.
type EndError struct {
	At     lsn.LSN
	Reason error
	Detail string
}

func (e *EndError) Error() string {
	return fmt.Sprintf("WAL is valid up to %s: %v (%s)", e.At, e.Reason, e.Detail)
}

// Unwrap gives the reason.
func (e *EndError) Unwrap() error { return e.Reason }

// Walker reads records one after another.
type Walker struct {
	Source   Source
	Timeline lsn.TimelineID // pages of newer timelines are not accepted
	Pages    PageFunc
	// Limit, when not Invalid, is the end of the bytes that exist: a record that needs more ends
	// the walk with ErrShort. It may be raised after that, and Next called again.
	Limit lsn.LSN
	// StopAtBroken ends the walk at a record that was given up and overwritten. No checksum covers its bytes: after a
	// power loss they may be torn, and the walk would not notice.
	StopAtBroken bool

	pos   lsn.LSN // where the next record, its page's header, or a zero byte is
	prev  lsn.LSN // the last valid record
	zeros bool    // behind an XLOG_SWITCH
}

// Start places the walker at the first record that begins in the page at at or later, skipping the
// rest of a record that began before. It returns the position where that rest ends.
func (w *Walker) Start(at lsn.LSN) (lsn.LSN, error) {
	at = at.PageStart()
	w.pos, w.prev, w.zeros = at, lsn.Invalid, false
	var rest uint32
	for first := true; ; first = false {
		page, h, err := w.page(at)
		if err != nil {
			return 0, err
		}
		switch {
		case h.Info&FirstIsContRecord == 0:
			if !first && h.Info&FirstIsOverwriteContRecord == 0 {
				return 0, &EndError{At: at, Reason: ErrPages, Detail: "a continued record stops"}
			}
			w.pos = at
			return at, nil
		case !first && h.RemLen != rest:
			return 0, &EndError{At: at, Reason: ErrPages, Detail: "rem_len does not go on"}
		}
		rest = h.RemLen
		room := len(page) - h.Len()
		if rest > uint32(room) {
			rest -= uint32(room)
			at += lsn.PageSize
			continue
		}
		w.pos = align(at + lsn.LSN(h.Len()) + lsn.LSN(rest))
		if w.Limit != 0 && w.pos > w.Limit {
			return 0, &EndError{At: at, Reason: ErrShort, Detail: "before the first record"}
		}
		return w.pos, nil
	}
}

// Pos returns the end of the valid WAL: of the last record, or of the zeros verified since.
func (w *Walker) Pos() lsn.LSN { return w.pos }

// Next reads and checks one record. The error is an *[EndError], or what Pages returned.
func (w *Walker) Next() (Record, error) {
	if w.zeros {
		if err := w.skipZeros(); err != nil {
			return Record{}, err
		}
	}
	for {
		rec, overwritten, err := w.record(w.pos)
		if err != nil {
			return Record{}, err
		}
		if overwritten != 0 && w.StopAtBroken {
			return Record{}, &EndError{At: w.pos, Reason: ErrBroken, Detail: "overwritten at " + overwritten.String()}
		}
		if overwritten != 0 {
			// The record was given up after a crash of the primary; its bytes stay, and the
			// stream goes on with the page where it was to continue (facts H2).
			w.pos = overwritten
			continue
		}
		w.pos, w.prev = rec.End, rec.LSN
		w.zeros = rec.IsSwitch() && !w.Source.SegSize.IsStart(rec.End)
		return rec, nil
	}
}

// skipZeros moves pos over the zeros behind an XLOG_SWITCH, page by page, to the end of the segment. Other bytes are an
// *[EndError], as the end of the WAL is.
func (w *Walker) skipZeros() error {
	for !w.Source.SegSize.IsStart(w.pos) {
		start := w.pos.PageStart()
		page, err := w.bytes(start)
		if err != nil {
			return err
		}
		if len(page) < w.pos.PageOffset() || !IsZero(page[w.pos.PageOffset():]) {
			return &EndError{At: w.pos, Reason: ErrZeros, Detail: "after XLOG_SWITCH"}
		}
		if len(page) < lsn.PageSize {
			w.pos = start + lsn.LSN(len(page))
			return w.short(w.pos, "in the zeros after XLOG_SWITCH")
		}
		w.pos = start + lsn.PageSize
	}
	w.zeros = false
	return nil
}

// record reads the record at pos, or whose page header is at pos. overwritten is the page with
// which the stream goes on when the record was given up.
func (w *Walker) record(pos lsn.LSN) (rec Record, overwritten lsn.LSN, err error) {
	c := cursor{w: w, at: pos, begin: pos}
	if pos.IsPageStart() {
		_, h, err := w.page(pos)
		if err != nil {
			return Record{}, 0, err
		}
		if h.Info&FirstIsContRecord != 0 {
			return Record{}, 0, &EndError{At: pos, Reason: ErrPages, Detail: "unexpected continuation"}
		}
		c.at += lsn.LSN(h.Len())
	}
	rec.LSN = c.at
	header, err := c.header()
	if err != nil || c.overwritten != 0 {
		return Record{}, c.overwritten, err
	}
	at := rec.LSN
	rec = ParseRecordHeader(header)
	rec.LSN = at
	if err := w.plausible(pos, &rec); err != nil {
		return Record{}, 0, err
	}
	crc, err := c.sum(rec.Length - RecordHeaderLen)
	if err != nil || c.overwritten != 0 {
		return Record{}, c.overwritten, err
	}
	if crc = crc32.Update(crc, castagnoli, header[:crcOffset]); crc != rec.CRC {
		return Record{}, 0, &EndError{At: pos, Reason: ErrCRC, Detail: fmt.Sprintf("record at %s", rec.LSN)}
	}
	rec.End = align(c.at)
	if w.Limit != 0 && rec.End > w.Limit {
		return Record{}, 0, w.short(pos, "in the padding")
	}
	return rec, 0, nil
}

func (w *Walker) plausible(pos lsn.LSN, rec *Record) error {
	switch {
	case rec.Length < RecordHeaderLen:
		return &EndError{At: pos, Reason: ErrRecord, Detail: fmt.Sprintf("length %d", rec.Length)}
	case w.prev != 0 && rec.Prev != w.prev:
		return &EndError{At: pos, Reason: ErrRecord, Detail: fmt.Sprintf("prev link %s, expected %s", rec.Prev, w.prev)}
	case rec.Prev >= rec.LSN:
		return &EndError{At: pos, Reason: ErrRecord, Detail: fmt.Sprintf("prev link %s is ahead", rec.Prev)}
	}
	return nil
}

func (w *Walker) short(at lsn.LSN, detail string) error {
	return &EndError{At: at, Reason: ErrShort, Detail: detail}
}

// bytes returns the page at at as far as Limit lets it exist. The memory is that of Pages.
func (w *Walker) bytes(at lsn.LSN) ([]byte, error) {
	if w.Limit != 0 && at >= w.Limit {
		return nil, w.short(w.pos, "at "+at.String())
	}
	page, err := w.Pages(at)
	if err != nil {
		return nil, w.sourceError(err)
	}
	if w.Limit != 0 && at+lsn.PageSize > w.Limit {
		page = page[:w.Limit-at]
	}
	return page, nil
}

// page returns the page at at with its checked header. One that is no page of this WAL, or cut off in its header, is an
// *[EndError].
func (w *Walker) page(at lsn.LSN) ([]byte, Header, error) {
	b, err := w.bytes(at)
	if err != nil {
		return nil, Header{}, err
	}
	if len(b) < w.Source.HeaderLenAt(at) {
		return nil, Header{}, w.short(w.pos, "in a page header")
	}
	h, err := ParseHeader(b)
	if err == nil {
		err = w.Source.Check(at, &h)
	}
	if err == nil && (h.Timeline == 0 || h.Timeline > w.Timeline) {
		err = fmt.Errorf("timeline %s at %s", h.Timeline, at)
	}
	if err != nil {
		return nil, Header{}, &EndError{At: w.pos, Reason: ErrPages, Detail: err.Error()}
	}
	return b, h, nil
}
