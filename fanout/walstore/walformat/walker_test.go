package walformat_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func walkerOver(g *walstoretest.Generator, change func(wal []byte)) *walformat.Walker {
	wal := append([]byte(nil), g.Bytes(g.Start(), g.End())...)
	if change != nil {
		change(wal)
	}
	wal = append(wal, make([]byte, lsn.PageSize)...) // what a preallocated file has there
	return &walformat.Walker{Source: g.Source, Timeline: g.Timeline(), Pages: func(at lsn.LSN) ([]byte, error) {
		off := int(at - g.Start())
		if at < g.Start() || off+lsn.PageSize > len(wal) {
			return nil, io.EOF
		}
		return wal[off : off+lsn.PageSize], nil
	}}
}

func walkToEnd(t *testing.T, w *walformat.Walker, from lsn.LSN) error {
	t.Helper()
	_, err := w.Start(from)
	for err == nil {
		_, err = w.Next()
	}
	return err
}

// TestEveryBitCounts flips a byte in every record, header and zero, and the walk ends there.
func TestEveryBitCounts(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(300)
	long := g.Record(20_000)
	small := g.Record(0)
	sw := g.Switch()
	last := g.Record(10)
	cases := []struct {
		name   string
		at     lsn.LSN
		end    lsn.LSN
		reason error
	}{
		{"data", long.LSN + 1000, long.LSN, walformat.ErrCRC},
		{"length", long.LSN, long.LSN, nil},
		{"prev link", small.LSN + 8, small.LSN, walformat.ErrRecord},
		{"checksum", small.LSN + 20, small.LSN, walformat.ErrCRC},
		{"rem_len of a page", long.LSN.PageStart() + lsn.PageSize + 16, long.LSN, walformat.ErrPages},
		{"address of a page", long.LSN.PageStart() + lsn.PageSize + 8, long.LSN, walformat.ErrPages},
		{"zeros", sw.End.PageStart() + 3*lsn.PageSize + 5, sw.End.PageStart() + 3*lsn.PageSize, walformat.ErrZeros},
		{"magic of the next segment", g.Source.SegSize.Floor(last.LSN), g.Source.SegSize.Floor(last.LSN), walformat.ErrPages},
	}
	for _, c := range cases {
		w := walkerOver(g, func(wal []byte) { wal[c.at-g.Start()] ^= 0x10 })
		err := walkToEnd(t, w, g.Start())
		if w.Pos() != c.end || c.reason != nil && !errors.Is(err, c.reason) {
			t.Errorf("%s: ended at %s, want %s: %v", c.name, w.Pos(), c.end, err)
		}
	}
}

// TestLimit stops a walk at every position and lets it go on from there.
func TestLimit(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(100)
	g.Record(9000)
	g.Broken(2)
	g.Record(8)
	for limit := g.Start() + 8; limit <= g.End(); limit += 8 {
		w := walkerOver(g, nil)
		w.Limit = limit
		err := walkToEnd(t, w, g.Start())
		want := g.Start()
		for _, r := range g.Records() {
			if r.End <= limit {
				want = r.End
			}
		}
		if !errors.Is(err, walformat.ErrShort) || w.Pos() > limit || w.Pos() < want {
			t.Fatalf("limit %s: ended at %s: %v", limit, w.Pos(), err)
		}
		w.Limit = 0
		for err = nil; err == nil; {
			if w.Pos() == g.Start() {
				_, err = w.Start(g.Start())
			}
			if err == nil {
				_, err = w.Next()
			}
		}
		if w.Pos() != g.End() {
			t.Fatalf("limit %s: went on to %s, want %s: %v", limit, w.Pos(), g.End(), err)
		}
	}
}

// TestStartInTheMiddle begins at every segment of WAL with records over several of them.
func TestStartInTheMiddle(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Fill(g.Start()+500_000, rand.New(rand.NewPCG(3, 3)))
	g.Record(3_000_000)
	g.Record(100)
	for at := g.Start(); at < g.End(); at += 1 << 20 {
		w := walkerOver(g, nil)
		if err := walkToEnd(t, w, at); w.Pos() != g.End() {
			t.Errorf("from %s: ended at %s, want %s: %v", at, w.Pos(), g.End(), err)
		}
	}
}

// TestCheckerZeros: zeros may begin at any page but a segment's first, and last to its end.
func TestCheckerZeros(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(100)
	g.Switch()
	g.Record(100)
	c := walformat.Checker{Source: g.Source}
	page := func(at lsn.LSN) []byte { return g.Bytes(at, min(g.End(), at+lsn.PageSize)) }
	for at := g.Start(); at < g.End(); at += lsn.PageSize {
		if err := c.Page(at, 1, page(at)); err != nil {
			t.Fatal(err)
		}
	}
	c = walformat.Checker{Source: g.Source}
	if err := c.Page(g.Start(), 1, make([]byte, lsn.PageSize)); err == nil {
		t.Fatal("a segment begins with zeros")
	}
	c.Resume(make([]byte, lsn.PageSize))
	if !c.Zeros() {
		t.Fatal("Resume forgot the zeros")
	}
	if err := c.Page(g.Start()+lsn.PageSize, 1, page(g.Start())); err == nil {
		t.Fatal("WAL goes on after zeros")
	}
}
