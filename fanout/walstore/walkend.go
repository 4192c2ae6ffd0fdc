package walstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// readAhead is the piece in which the walk reads files.
const readAhead = 32 * lsn.PageSize

// findEnd (7, 8) finds the end of valid WAL. What was sure when the mark was written must be there. What was synced
// beside the mark is there if it hashes to what the mark says, or as far as its records are valid. An end below what
// was sure is returned with the damage that was found there. One that is not, and lies below the mark, is of a sync
// that did not come back, as far as anybody knows.
func (s *Store) findEnd(ctx context.Context, h lsn.History, m mark) (lsn.LSN, *DamagedError, error) {
	end, damaged, err := s.findEndFrom(ctx, h, sureMark(m.Timeline, m.Sure, m.Start))
	if err != nil || damaged != nil || end >= m.LSN || !s.hashesTo(h, m) {
		return end, damaged, err
	}
	return s.findEndFrom(ctx, h, sureMark(m.Timeline, m.LSN, m.Start))
}

// hashesTo reports whether the stored WAL is what m was written for.
func (s *Store) hashesTo(h lsn.History, m mark) bool {
	sum := xxhash.New()
	p := &pages{s: s, h: h}
	defer s.segs.closeUnused()
	defer p.close()
	for at := s.segs.size.Floor(m.LSN - 1); at < m.LSN; at += lsn.PageSize {
		b, err := p.page(at)
		if err != nil {
			return false
		}
		_, _ = sum.Write(b[:min(lsn.PageSize, m.LSN-at)])
	}
	return sum.Sum64() == m.Sum
}

// findEndFrom finds the end if all bytes below the mark m were durable: up to there every record must be valid, and WAL
// may only go on beyond it. After the mark the walk ends where recovery of PostgreSQL would end, or at the first byte
// that no checksum covers.
func (s *Store) findEndFrom(ctx context.Context, h lsn.History, m mark) (lsn.LSN, *DamagedError, error) {
	w := s.walker(h.Timeline)
	p := &pages{s: s, h: h}
	defer s.segs.closeUnused() // what comes next may replace files
	defer p.close()
	w.Pages = func(at lsn.LSN) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		return p.page(at)
	}
	if m.LSN == m.Start {
		first, err := w.Start(m.LSN)
		if err != nil || first != m.LSN { // the rest of a record has no checksum of its own
			return m.LSN, nil, ignoreEnd(err)
		}
	} else if end, damaged, err := s.walkToMark(w, p, h, m); end != 0 || err != nil {
		return end, damaged, err
	}
	w.Limit, w.StopAtBroken = 0, true
	err := walk(w)
	return max(w.Pos(), m.LSN), nil, ignoreEnd(err)
}

// walkToMark verifies the WAL below the mark. An end says that the walk ends there: at damage or, when nothing could be
// verified, at the mark.
func (s *Store) walkToMark(w *walformat.Walker, p *pages, h lsn.History, m mark) (lsn.LSN, *DamagedError, error) {
	x := s.segs
	first := x.size.Floor(m.LSN - 1)
	if !s.has(h, first) {
		name := x.size.FileName(h.TimelineOf(first), x.size.Segno(first))
		return first, &DamagedError{File: name, LSN: first, Reason: "it is missing"}, nil
	}
	w.Limit = m.LSN
	err := s.placeWalk(w, h, m, first)
	placed := err == nil
	if placed {
		err = walk(w)
	}
	damaged := s.damage(h, w.Pos(), err)
	switch {
	case damaged != nil && (!isShort(err) || p.missing != 0):
		return s.safeEnd(w.Pos(), first, m), damaged, nil
	case damaged == nil:
		return 0, nil, err
	case !placed:
		return m.LSN, nil, nil
	}
	return 0, nil, nil
}

// placeWalk (7) puts the walk at a record that begins at or before first, the start of the segment of the mark's last
// byte. Everything from there on is then covered by a checksum. The record is in the last page of the segment before,
// or where records are long, in that segment or an earlier one.
//
// If nothing is stored before first, or the zeros behind an XLOG_SWITCH are, the walk begins with the first record of
// the segment. A walk that is short then has no record that begins before the mark.
func (s *Store) placeWalk(w *walformat.Walker, h lsn.History, m mark, first lsn.LSN) error {
	for at := first; at > m.Start; {
		before := s.segs.size.Floor(at - 1)
		if !s.has(h, before+s.segLen()-1) { // where a timeline was left, the file of the one that follows
			break
		}
		if at == first {
			at -= lsn.PageSize
		} else {
			at = before
		}
		if begin, err := w.Start(at); err == nil && begin <= first {
			return nil
		} else if err != nil && !isShort(err) {
			break // of that segment its readers will know
		}
	}
	_, err := w.Start(first)
	return err
}

// safeEnd returns the position at which the store ends when damage was found at at. Of a segment before first only a
// part was walked, so the store ends at that segment's start. The stream compares WAL that
// comes again with the WAL that is stored before this end.
func (s *Store) safeEnd(at, first lsn.LSN, m mark) lsn.LSN {
	if at < first {
		at = s.segs.size.Floor(at)
	}
	return max(at, m.Start)
}

// walk reads records until there is no more. It always returns an error: the reason why the walk ends.
func walk(w *walformat.Walker) error {
	for {
		if _, err := w.Next(); err != nil {
			return err
		}
	}
}

func isEnd(err error) bool {
	e := (*walformat.EndError)(nil)
	return errors.As(err, &e)
}

func isShort(err error) bool { return isEnd(err) && errors.Is(err, walformat.ErrShort) }

// ignoreEnd returns err unless it is an end of the walk, then nil.
func ignoreEnd(err error) error {
	if isEnd(err) {
		return nil
	}
	return err
}

// damage makes the end of a walk, or a disk that can't be read, damage at at; nil: it is neither.
func (s *Store) damage(h lsn.History, at lsn.LSN, err error) *DamagedError {
	if !isEnd(err) && !errors.Is(err, syscall.EIO) {
		return nil
	}
	name := s.segs.size.FileName(h.TimelineOf(at), s.segs.size.Segno(at))
	return &DamagedError{File: name, LSN: at, Reason: err.Error()}
}

// pages gives a walk the pages of a history from the segment files. It holds the file that it reads, so that
// the file keeps its content whatever is removed meanwhile.
type pages struct {
	s       *Store
	h       lsn.History
	segno   uint64
	o       *openFile
	from    walformat.PageFunc
	limit   lsn.LSN // where the timeline of that file was left; Invalid: it was not
	missing lsn.LSN // a page that was asked for and is in no file
}

func (p *pages) close() {
	p.s.segs.release(p.o)
	p.o = nil
}

func (p *pages) page(at lsn.LSN) ([]byte, error) {
	if segno := p.s.segs.size.Segno(at); p.o == nil || segno != p.segno {
		p.close()
		o, err := p.open(at, segno)
		if err != nil {
			return nil, err
		}
		p.o, p.segno, p.from = o, segno, filePages(o.f, p.s.segs.size.Start(segno))
	}
	if p.limit != lsn.Invalid && at >= p.limit {
		p.missing = at // what the file has there is of no timeline of the history
		return nil, io.EOF
	}
	b, err := p.from(at)
	if errors.Is(err, io.EOF) {
		p.missing = at // the file is short
	}
	if p.limit != lsn.Invalid && err == nil && at+lsn.PageSize > p.limit {
		clear(b[p.limit-at:]) // the page is in a buffer of this walk
	}
	return b, err
}

func (p *pages) open(at lsn.LSN, segno uint64) (*openFile, error) {
	x := p.s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	k, ok := x.find(p.h, p.h.TimelineOf(at), segno)
	if !ok {
		p.missing = at
		return nil, io.EOF
	}
	p.limit, _, _ = p.h.SwitchPoint(k.tli)
	o, err := x.acquire(k)
	if errors.Is(err, ErrDamaged) {
		p.missing = at
		return nil, io.EOF
	}
	return o, err
}

// filePages reads the pages of one segment file, whose first position is start.
func filePages(f vfs.File, start lsn.LSN) walformat.PageFunc {
	buf := make([]byte, readAhead)
	var have []byte // valid part of buf
	var first lsn.LSN
	return func(at lsn.LSN) ([]byte, error) {
		if at < start {
			return nil, io.EOF
		}
		if at < first || at+lsn.PageSize > first+lsn.LSN(len(have)) {
			n, err := f.ReadAt(buf, int64(at-start))
			if err != nil && err != io.EOF {
				return nil, fmt.Errorf("read segment: %w", err)
			}
			have, first = buf[:n-n%lsn.PageSize], at
			if len(have) == 0 {
				return nil, io.EOF
			}
		}
		return have[at-first : at-first+lsn.PageSize], nil
	}
}
