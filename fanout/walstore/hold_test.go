package walstore

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestHoldBack: no reader gets WAL beyond a fork that is held back, from memory or from disk, and the store itself
// reads what it must. The lowest of several forks holds, until it is released or a new timeline is followed.
func TestHoldBack(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	g := newGen()
	for g.End() < g.Start()+9<<20 { // more than the tail
		g.Record(3000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	records := g.Records()
	low, high := records[len(records)/10].End, records[len(records)-5].End
	watch := s.Watch(MovedReceived)
	defer watch.Close()
	woken := func() {
		t.Helper()
		select {
		case <-watch.C():
		default:
			t.Fatal("nobody is woken")
		}
	}
	woken()
	ends := func(from, want lsn.LSN) {
		t.Helper()
		r, err := s.NewReader(1, from)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			c, err := r.Next(g.End(), 128<<10)
			if err != nil {
				t.Fatal(err)
			}
			if c.Len() == 0 {
				break
			}
		}
		if r.Pos() != max(from, want) {
			t.Fatalf("read from %s to %s, want %s", from, r.Pos(), want)
		}
	}
	s.HoldBack(high)
	woken()
	ends(g.Start(), high)
	s.HoldBack(low)
	s.HoldBack(high)
	for _, from := range []lsn.LSN{g.Start(), low, high, g.End() - 10} {
		ends(from, low)
	}
	if got := s.Served(); got.End != low || !got.Held {
		t.Fatalf("served up to %s, %v", got.End, got.Held)
	}
	if _, err := s.ReadHash(1, g.End()); err != nil {
		t.Fatal(err)
	}
	woken()
	s.Release(high)
	woken()
	ends(g.Start(), high)
	s.Release(lsn.Invalid)
	ends(g.Start(), g.End())

	s.HoldBack(low)
	next := g.Fork(high, 2)
	putHistory(t, s, next)
	start(t, s, 2, testSeg.Floor(high))
	ends(g.Start(), high)
	if got := s.Served(); got.End != high || got.Held {
		t.Fatalf("on the new timeline served up to %s, %v", got.End, got.Held)
	}
}
