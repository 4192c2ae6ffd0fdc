package walstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// readAhead is the piece in which the walk reads files.
const readAhead = 32 * lsn.PageSize

// findEnd (7, 8) finds where valid WAL ends. The bytes below the mark are known to be there, so up
// to the mark the walk may find nothing wrong, only WAL that goes on beyond it; after the mark it
// ends where recovery of PostgreSQL would end, or at the first byte that no checksum covers.
func (s *Store) findEnd(ctx context.Context, h lsn.History, m mark) (lsn.LSN, error) {
	w := s.walker(h.Timeline)
	p := &pages{s: s, h: h}
	defer p.close()
	w.Pages = func(at lsn.LSN) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		return p.page(at)
	}
	if m.LSN > m.Start {
		w.Limit = m.LSN
	}
	placed, err := s.placeWalk(w, h, m)
	if err != nil {
		return 0, err
	}
	if !placed {
		return m.LSN, nil
	}
	if m.LSN > m.Start {
		if err := walk(w); !isShort(err) || p.missing != 0 && p.missing < m.LSN {
			return 0, s.damage(h, w.Pos(), err)
		}
	}
	w.Limit, w.StopAtBroken = 0, true
	if err := walk(w); !isEnd(err) {
		return 0, err
	}
	return max(w.Pos(), m.LSN), nil
}

// placeWalk (7) puts the walk at the first record that begins in the segment of the mark's last
// byte, or in an earlier segment when none begins there. false: nothing can be verified beyond the
// mark, because the store has no record that begins before it.
func (s *Store) placeWalk(w *walformat.Walker, h lsn.History, m mark) (bool, error) {
	x := s.segs
	at := x.size.Floor(m.LSN)
	if m.LSN == m.Start {
		first, err := w.Start(at)
		if err != nil && !isEnd(err) {
			return false, err
		}
		return err == nil && first == at, nil // the rest of a record has no checksum of its own
	}
	if at == m.LSN {
		at -= s.segLen()
	}
	if _, ok := x.find(h, h.TimelineOf(m.LSN-1), x.size.Segno(at)); !ok {
		name := x.size.FileName(h.TimelineOf(m.LSN-1), x.size.Segno(at))
		return false, &DamagedError{File: name, LSN: at, Reason: "it is missing"}
	}
	for {
		_, err := w.Start(at)
		if err == nil {
			return true, nil
		}
		if !isShort(err) || m.LSN-at < walformat.LongHeaderLen {
			return false, s.damage(h, at, err)
		}
		before := at - s.segLen()
		if _, ok := x.find(h, h.TimelineOf(at-1), x.size.Segno(before)); at <= m.Start || !ok {
			return false, nil
		}
		at = before
	}
}

// walk reads records until there is no more.
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

func (s *Store) damage(h lsn.History, at lsn.LSN, err error) error {
	if !isEnd(err) {
		return err
	}
	name := s.segs.size.FileName(h.TimelineOf(at), s.segs.size.Segno(at))
	return &DamagedError{File: name, LSN: at, Reason: err.Error()}
}

// pages gives the walk the current timeline's pages from the segment files.
type pages struct {
	s       *Store
	h       lsn.History
	segno   uint64
	f       vfs.File
	from    walformat.PageFunc
	missing lsn.LSN // the lowest page that was asked for and has no file
}

func (p *pages) close() {
	if p.f != nil {
		_ = p.f.Close() // only read
		p.f = nil
	}
}

func (p *pages) page(at lsn.LSN) ([]byte, error) {
	x := p.s.segs
	if segno := x.size.Segno(at); p.f == nil || segno != p.segno {
		p.close()
		k, ok := x.find(p.h, p.h.TimelineOf(at), segno)
		if !ok {
			p.missing = at
			return nil, io.EOF
		}
		f, err := p.s.fs.Open(x.path(x.name(k)))
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", err)
		}
		p.f, p.segno, p.from = f, segno, filePages(f, x.size.Start(segno))
	}
	return p.from(at)
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
