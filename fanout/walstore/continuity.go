package walstore

import (
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// continuityMost bounds how much new WAL is read for the rest of a record that begins in the stored WAL: it must still
// be in the tail. A longer record is known by its page's rem_len only.
const continuityMost = 1 << 20

// continuityCheck tells another history from the stored one where no bytes can be compared. That is so when a stream
// goes on at the end of the stored WAL and nothing is sent again, because the upstream has removed the segment before.
// The check looks at the link between records. A record that goes on behind the stored end has the length and the
// checksum that its beginning says. The first record that begins behind the stored end names the one before it.
type continuityCheck struct {
	at    lsn.LSN // the stored end
	walk  *walformat.Walker
	again lsn.LSN // up to here the record was not whole: nothing to be learned before there is more
}

// newContinuityCheck places a walk at the last record that begins before at, the end of the stored WAL of timeline
// tli. nil: nothing is stored before, or it can't be walked, and then nothing can be compared.
func (s *Store) newContinuityCheck(tli lsn.TimelineID, at lsn.LSN) *continuityCheck {
	pos, begin := s.Positions(), s.segs.size.Floor(max(at, 1)-1)
	if at != pos.Received || begin < pos.Oldest {
		return nil
	}
	for back := lsn.LSN(lsn.PageSize); ; back *= 2 { // from as near as possible: a segment may have 1 GB
		from := max(begin, at-min(at, back))
		w := s.walker(tli)
		w.Limit, w.Pages = at, s.pagesAcross(at)
		if _, err := w.Start(from); err == nil && w.Pos() < at && isShort(walk(w)) {
			return &continuityCheck{at: at, walk: w}
		}
		if from == begin {
			return nil
		}
	}
}

// pagesAcross reads stored pages before at in pieces, and those behind it from the tail.
func (s *Store) pagesAcross(at lsn.LSN) walformat.PageFunc {
	buf, page := make([]byte, 0, readAhead), make([]byte, lsn.PageSize)
	var first lsn.LSN
	return func(p lsn.LSN) ([]byte, error) {
		if p >= at {
			return page[:copy(page, s.tailPage(p))], nil
		}
		if p < first || p >= first+lsn.LSN(len(buf)) {
			first, buf = p, buf[:min(at-p, readAhead)]
			if err := s.readStored(p, buf); err != nil {
				buf = buf[:0]
				return nil, err
			}
		}
		return buf[p-first:][:lsn.PageSize], nil
	}
}

// tailPage returns a page of the tail, published or not. It is gone from there at the earliest when the tail is full.
func (s *Store) tailPage(at lsn.LSN) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.tail.find(at); b != nil {
		return b.buf[at-b.start:][:lsn.PageSize]
	}
	return nil
}

// check looks at WAL that has come up to end, and returns the check to go on with; nil: there is nothing more to
// compare.
func (c *continuityCheck) check(end lsn.LSN) (*continuityCheck, error) {
	if c == nil || end < c.again {
		return c, nil
	}
	for c.walk.Limit = end; ; {
		rec, err := c.walk.Next()
		switch {
		case err == nil && rec.LSN < c.at:
		case err == nil:
			return nil, nil
		case isShort(err) && end < c.at+continuityMost:
			c.again = c.at + 2*(end-c.at) // a long record is not read again with each message
			return c, nil
		case isShort(err) || !isEnd(err):
			return nil, nil
		default:
			return nil, &DivergedError{Timeline: c.walk.Timeline, LSN: max(c.walk.Pos(), c.at)}
		}
	}
}
