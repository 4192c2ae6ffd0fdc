package walformat_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// FuzzHeader: decoding and encoding again gives the same bytes, apart from the padding.
func FuzzHeader(f *testing.F) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(20_000)
	f.Add(g.Bytes(g.Start(), g.Start()+walformat.LongHeaderLen))
	f.Add(g.Bytes(g.Start()+lsn.PageSize, g.Start()+lsn.PageSize+walformat.ShortHeaderLen))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := walformat.ParseHeader(b)
		if err != nil {
			if len(b) >= walformat.LongHeaderLen {
				t.Fatalf("%d bytes are no header: %v", len(b), err)
			}
			return
		}
		want := bytes.Clone(b[:h.Len()])
		clear(want[20:24])
		if got := h.Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		_ = g.Source.Check(h.Addr, &h)
	})
}

// FuzzWalk changes bytes of valid WAL. Whatever they are, the walk ends, never passes the changed
// byte by more than it can know, and never goes back.
func FuzzWalk(f *testing.F) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	rnd := rand.New(rand.NewPCG(1, 1))
	g.Record(100)
	g.Record(20_000)
	g.Broken(1)
	g.Fill(g.Start()+200_000, rnd)
	g.Switch()
	g.Record(500)
	wal := g.Bytes(g.Start(), g.End())
	f.Add(uint32(0), []byte{})
	f.Add(uint32(100), []byte{1, 2, 3})
	f.Add(uint32(8192), []byte{0xD1, 0x10, 8})
	f.Add(uint32(40), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := bytes.Clone(wal)
		off := int(at) % len(b)
		n := copy(b[off:], change)
		changed := !bytes.Equal(b[off:off+n], wal[off:off+n])
		w := walformat.Walker{Source: g.Source, Timeline: 1, Pages: func(p lsn.LSN) ([]byte, error) {
			if p < g.Start() || p >= g.End() {
				return nil, io.EOF
			}
			page := make([]byte, lsn.PageSize)
			copy(page, b[p-g.Start():])
			return page, nil
		}}
		pos, err := w.Start(g.Start())
		for err == nil {
			before := pos
			var r walformat.Record
			if r, err = w.Next(); err == nil {
				if r.End < before+8 || r.LSN < before {
					t.Fatalf("the walk goes back: %+v after %s", r, before)
				}
				pos = w.Pos()
			}
		}
		var end *walformat.EndError
		if !errors.As(err, &end) {
			t.Fatalf("the walk ended with %v", err)
		}
		if w.Pos() > g.End() || !changed && w.Pos() != g.End() {
			t.Fatalf("the walk ended at %s, the WAL at %s", w.Pos(), g.End())
		}
	})
}

// FuzzChecker: the stream check accepts a page only when its header is this cluster's.
func FuzzChecker(f *testing.F) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(20_000)
	f.Add(g.Bytes(g.Start(), g.Start()+100), uint32(0))
	f.Add(g.Bytes(g.Start()+lsn.PageSize, g.Start()+2*lsn.PageSize), uint32(1))
	f.Add(make([]byte, lsn.PageSize), uint32(2))
	f.Fuzz(func(t *testing.T, page []byte, n uint32) {
		at := g.Start() + lsn.LSN(n%128)*lsn.PageSize
		if len(page) < g.Source.HeaderLenAt(at) {
			return
		}
		c := walformat.Checker{Source: g.Source}
		err := c.Page(at, 1, page)
		if err != nil {
			if !errors.Is(err, walformat.ErrPage) || c != (walformat.Checker{Source: g.Source}) && !g.Source.SegSize.IsStart(at) {
				t.Fatalf("%v changed the state to %+v", err, c)
			}
			return
		}
		h, err := walformat.ParseHeader(page)
		if err != nil || !c.Zeros() && (h.Addr != at || h.Timeline != 1) {
			t.Fatalf("accepted %+v at %s", h, at)
		}
	})
}
