package walstore

import (
	"errors"
	"io/fs"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// LastComplete returns the end of the last complete record at or below position at of timeline tli, the current one or
// an ancestor. A position beyond the received WAL, or beyond the point where tli was left, counts as that end. A
// position at or below the oldest stored one is returned as it is. Where no record ends between the oldest stored
// position and at, the oldest position is returned.
//
// Servers, members and lives of a server are compared at such ends. No commit rests on the beginning of a record, and
// another server may have other bytes there (ruling R36).
//
// For the received end it costs nothing, see [Positions].Complete. Otherwise it reads stored WAL, from disk where it
// must: two pages, or from the beginning of a long record on. Any goroutine may call it.
//
// Errors: *[TimelineError], [ErrNotAdopted], those of reading.
func (s *Store) LastComplete(tli lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) {
	s.mu.Lock()
	pos, h, end := s.pos, s.history, s.endOf(tli)
	s.mu.Unlock()
	fork, _, historic := h.SwitchPoint(tli)
	switch at = min(at, end); {
	case pos.Timeline == 0:
		return 0, ErrNotAdopted
	case !h.Contains(tli):
		return 0, &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "it is not in the history"}
	case historic && at == fork, at == pos.Complete:
		return at, nil // a timeline is left at the end of a record
	case at > pos.Complete && (!historic || at == pos.Received):
		return pos.Complete, nil
	case at <= pos.Oldest:
		return at, nil
	}
	f, err := s.frameAt(at)
	if err != nil {
		return 0, err
	}
	if c := f.Complete(); c != lsn.Invalid {
		return c, nil
	}
	return pos.Oldest, nil
}

// resumption holds the state with which a stream goes on at a durable end.
type resumption struct {
	page   []byte // of the end's page, before the end
	before known  // hash up to that page
	first  hashState
	framer walformat.Framer
	blind  bool      // the WAL before the end is gone: where records end is not known
	hash   hashState // up to the end
	header []byte    // of the last page before the end; nil: that page is not stored
}

// resumeAt reads the stored bytes before end that a stream which goes on at end needs: its page, and the record there.
func (s *Store) resumeAt(end lsn.LSN) (*resumption, error) {
	r := &resumption{page: make([]byte, end.PageOffset())}
	low := end.PageStart()
	err := s.readStored(low, r.page)
	if err != nil {
		return nil, err
	}
	if r.framer, err = s.frameAt(end); errors.Is(err, fs.ErrNotExist) {
		r.framer, r.blind = s.newFramer(), true
	} else if err != nil {
		return nil, err
	}
	if s.segs.size.IsStart(low) {
		r.before = s.wholeBefore(low)
		r.first.begin()
	} else if r.first.sum, err = s.hashTo(low); err != nil {
		// What is written next is hashed from the next segment on; the digest of this one is made from its file.
		s.log.Warn("stored WAL can't be hashed", "lsn", low, "err", err)
	} else {
		r.first.ok = true
		r.before = r.first.known()
	}
	r.hash = r.first
	_, _ = r.hash.sum.Write(r.page)
	if r.header, err = s.lastHeader(end); err != nil {
		return nil, err
	}
	return r, nil
}

// wholeBefore returns the digest of the segment that ends at at, from memory or its sidecar. It is not known if neither
// has it, or at is Invalid: the segment itself is not read.
func (s *Store) wholeBefore(at lsn.LSN) known {
	if at == lsn.Invalid {
		return known{}
	}
	h, _, _ := s.readState()
	tli := h.TimelineOf(at - 1)
	if sum, ok := s.HashAt(tli, at); ok {
		return known{sum, true}
	}
	d, ok := s.digestOf(Segment{Timeline: tli, Start: at - s.segLen(), End: at})
	return known{d.Sum, ok}
}

func (s *Store) newFramer() walformat.Framer {
	return walformat.Framer{Source: s.identity.Load().source()}
}

// frameAt gives a Framer that has taken the stored WAL before end, from as near as it takes to know where the
// record before end begins.
func (s *Store) frameAt(end lsn.LSN) (walformat.Framer, error) {
	return s.frameFrom(s.Positions().Oldest, end)
}

// completeWithin returns the end of the last complete record at or below end, if it ends within reach of it. Invalid:
// it does not, or it can't be read.
func (s *Store) completeWithin(end, reach lsn.LSN) lsn.LSN {
	f, err := s.frameFrom(max(s.Positions().Oldest, (end-min(end, reach)).PageStart()), end)
	if err != nil || f.Lost() {
		return lsn.Invalid
	}
	return f.Complete()
}

// frameFrom frames the records before end, as frameAt does, but reads no stored WAL below oldest. That is the beginning
// of a page or of the store.
func (s *Store) frameFrom(oldest, end lsn.LSN) (walformat.Framer, error) {
	for back := lsn.LSN(2 * lsn.PageSize); ; back *= 2 {
		from := max(oldest, (end - min(end, back)).PageStart())
		f, next := s.newFramer(), from
		err := s.readPieces(from, end, func(b []byte) { next = pass(&f, next, b) })
		found := !f.Lost() && f.Complete() != lsn.Invalid
		// A record may be long, and zeros behind an XLOG_SWITCH too, but those end with their segment.
		if f.Lost() && from+lsn.PageSize <= s.segs.size.Floor(max(end, 1)-1) {
			found = true
		}
		if err != nil || found || from == oldest || from >= end {
			return f, err
		}
	}
}

// pass gives f the bytes b at at page by page, and says where they end.
func pass(f *walformat.Framer, at lsn.LSN, b []byte) lsn.LSN {
	for len(b) > 0 {
		n := min(len(b), lsn.PageSize-at.PageOffset())
		f.Take(at, b[:n])
		at, b = at+lsn.LSN(n), b[n:]
	}
	return at
}
