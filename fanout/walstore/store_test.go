package walstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestStoreServesWhatItReceived(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	g := newGen()
	g.Fill(g.Start()+10<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	send(t, s, g, g.Start())
	if got := s.Positions(); got.Received != g.End() || got.Oldest != g.Start() || got.Flushed != g.Start() {
		t.Fatalf("positions before the flush: %+v", got)
	}
	readAll(t, s, g, 1, g.Start(), g.End())
	drain(t, s)
	if got := s.Positions(); got.Flushed != g.End() || got.Written != g.End() {
		t.Fatalf("positions after the flush: %+v", got)
	}
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, g, 1, g.Start(), g.End())
	readAll(t, s, g, 1, g.Start()+12345, g.End()-77)

	s = reopen(t, s, fsys)
	want := Positions{Timeline: 1, Oldest: g.Start(), Received: g.End(), Written: g.End(), Flushed: g.End(), Reportable: g.End(),
		Complete: g.End()}
	if got := s.Positions(); got != want {
		t.Fatalf("positions after reopening: %+v", got)
	}
	readAll(t, s, g, 1, g.Start(), g.End())
	// The stream goes on: the segment is sent again from its start, and then some more.
	before := g.End()
	g.Fill(g.End()+3<<20, rand.New(rand.NewPCG(2, 2)))
	begin(t, s, newGenAt(g, testSeg.Floor(before)))
	store(t, s, g, testSeg.Floor(before))
	readAll(t, s, g, 1, g.Start(), g.End())
}

// newGenAt is g's identity with a start for begin.
func newGenAt(g *walstoretest.Generator, at lsn.LSN) *walstoretest.Generator {
	return walstoretest.New(walstoretest.Config{
		Major: g.Source.Major, SegSize: g.Source.SegSize, System: g.Source.System, Timeline: g.Timeline(), Start: at,
	})
}

func TestAppendRefuses(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+2<<20, rand.New(rand.NewPCG(3, 3)))
	first := g.Messages(g.Start(), nil)[0]
	spoiled := func(off int, b byte) []byte {
		d := bytes.Clone(first.Data)
		d[off] ^= b
		return d
	}
	page := lsn.PageSize
	cases := []struct {
		name string
		at   lsn.LSN
		data []byte
		want error
		text string
	}{
		{"gap", first.At + 8, first.Data, ErrGap, "got WAL at 0/100008, expected 0/100000"},
		{"magic", first.At, spoiled(page, 1), ErrPage, "WAL page at 0/102000: magic is D111, expected D110 (PostgreSQL 15)"},
		{"info", first.At, spoiled(page+3, 1), ErrPage, "info"},
		{"address", first.At, spoiled(2*page+8, 0x80), ErrPage, "WAL page at 0/104000: page address is 0/104080"},
		{"timeline", first.At, spoiled(page+4, 6), ErrPage, "timeline is 7, expected between 1 and 1"},
		{"system", first.At, spoiled(24, 1), ErrPage, "system identifier is 7000000000000000000"},
		{"segment size", first.At, spoiled(34, 0x30), ErrPage, "segment size is 2097152, expected 1048576"},
		{"page size", first.At, spoiled(37, 0x30), ErrPage, "page size is 4096, expected 8192"},
		{"zero first page", first.At, make([]byte, page), ErrPage, "magic is 0000"},
		{"too long", first.At, make([]byte, MaxMessage+1), ErrMessageSize, "limit"},
		{"cut off", first.At, nil, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := openMem(t, vfs.NewMem())
			begin(t, s, g)
			n := len(c.data)
			if c.data == nil {
				n = 100
			}
			err := s.AppendFrom(context.Background(), c.at, bytes.NewReader(c.data), n)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v", err)
			}
			if got := s.Positions().Received; got != g.Start() {
				t.Fatalf("received moved to %s", got)
			}
			if c.want == ErrGap {
				return
			}
			// The same stream from the start is fine: nothing of the bad message stayed.
			start(t, s, 1, g.Start())
			send(t, s, g, g.Start())
			readAll(t, s, g, 1, g.Start(), g.End())
		})
	}
}

func TestZerosAfterSwitch(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	g := newGen()
	g.Record(100)
	g.Switch()
	g.Record(100)
	begin(t, s, g)
	store(t, s, g, g.Start())
	readAll(t, s, g, 1, g.Start(), g.End())

	// Whatever a primary that crashed has behind the switch, here are zeros (ruling R37).
	s = openMem(t, vfs.NewMem())
	begin(t, s, g)
	data := bytes.Clone(g.Bytes(g.Start(), g.Start()+8*lsn.PageSize))
	copy(data[5*lsn.PageSize:], data[:lsn.PageSize])
	copy(data[lsn.PageSize-10:], "from before")
	if err := s.AppendFrom(context.Background(), g.Start(), bytes.NewReader(data), len(data)); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, g, 1, g.Start(), g.Start()+8*lsn.PageSize)

	// A page that follows zeros in the same segment, without a switch, is an error.
	s = openMem(t, vfs.NewMem())
	begin(t, s, g)
	clear(data[:lsn.PageSize])
	copy(data, g.Bytes(g.Start(), g.Start()+walformat.LongHeaderLen))
	err := s.AppendFrom(context.Background(), g.Start(), bytes.NewReader(data), len(data))
	if !errors.Is(err, ErrPage) {
		t.Fatalf("got %v", err)
	}
}

func TestDivergedOverlap(t *testing.T) {
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			fsys := vfs.NewMem()
			s := openMem(t, fsys)
			g := newGen()
			g.Record(50_000)
			begin(t, s, g)
			store(t, s, g, g.Start())
			if where == "disk" {
				s = reopen(t, s, fsys)
			}
			start(t, s, 1, g.Start())
			data := bytes.Clone(g.Bytes(g.Start(), g.End()))
			data[31_415] ^= 1
			err := s.AppendFrom(context.Background(), g.Start(), bytes.NewReader(data), len(data))
			var diverged *DivergedError
			if !errors.As(err, &diverged) || diverged.LSN != g.Start()+31_415 || !errors.Is(err, ErrDiverged) {
				t.Fatalf("got %v", err)
			}
			readAll(t, s, g, 1, g.Start(), g.End())
		})
	}
}

func TestIdentity(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	if _, ok := s.Identity(); ok {
		t.Fatal("a new store has an identity")
	}
	if err := s.StartStream(1, lsn.LSN(testSeg)); !errors.Is(err, ErrNotAdopted) {
		t.Fatalf("StartStream: %v", err)
	}
	if _, err := s.NewReader(1, lsn.LSN(testSeg)); !errors.Is(err, ErrNotAdopted) {
		t.Fatalf("NewReader: %v", err)
	}
	id := Identity{System: 0x1122334455667788, SegSize: testSeg, ServerMajor: 17}
	for _, bad := range []Identity{{1, testSeg, 9}, {1, 12345, 15}, {0, testSeg, 15}} {
		if err := s.Adopt(bad); err == nil {
			t.Fatalf("adopted %+v", bad)
		}
	}
	if err := s.Adopt(id); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, fsys)
	if got, ok := s.Identity(); !ok || got != id {
		t.Fatalf("identity after reopening: %+v", got)
	}
	for _, other := range []Identity{{5, testSeg, 17}, {id.System, 2 * testSeg, 17}, {id.System, testSeg, 16}} {
		if err := s.Adopt(other); !errors.Is(err, ErrForeignSystem) {
			t.Fatalf("adopting %+v: %v", other, err)
		}
	}
}

// TestSegmentSizes runs a short life with every segment size that initdb takes.
func TestSegmentSizes(t *testing.T) {
	for size := lsn.MinSegSize; size <= lsn.MaxSegSize; size *= 4 {
		t.Run(size.String(), func(t *testing.T) {
			fsys := vfs.NewMem()
			s := openMem(t, fsys)
			g := walstoretest.New(walstoretest.Config{SegSize: size, Major: 17})
			g.Fill(g.Start()+100_000, rand.New(rand.NewPCG(1, uint64(size))))
			if size < 64<<20 {
				g.Switch()
			}
			for to := g.End() + 5<<20; g.End() < to; {
				g.Record(30_000)
			}
			begin(t, s, g)
			store(t, s, g, g.Start())
			s = reopen(t, s, fsys)
			if got := s.Positions(); got.Received != g.End() || got.Oldest != g.Start() {
				t.Fatalf("recovered %+v, want [%s, %s)", got, g.Start(), g.End())
			}
			readAll(t, s, g, 1, g.Start(), g.End())
			before := size.Floor(g.End())
			g.Record(100)
			start(t, s, 1, before)
			send(t, s, g, before)
			readAll(t, s, g, 1, before, g.End())
		})
	}
}
