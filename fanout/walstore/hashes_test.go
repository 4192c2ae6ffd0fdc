package walstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// lastRecord is the end of the last complete record of g's WAL at or below at; g's start when there is none.
func lastRecord(g *walstoretest.Generator, at lsn.LSN) lsn.LSN {
	end := g.Start()
	for _, r := range g.Records() {
		if r.End > at {
			break
		}
		end = r.End
		size := g.Source.SegSize
		if next := size.Floor(r.End) + lsn.LSN(size); r.IsSwitch() && !size.IsStart(r.End) && next <= at {
			end = next
		}
	}
	return end
}

// sumOf is the hash at at, computed anew.
func sumOf(g *walstoretest.Generator, at lsn.LSN) uint64 {
	return xxhash.Sum64(g.Bytes(max(g.Start(), g.Source.SegSize.Floor(at-1)), at))
}

// TestHashesEqualARecomputation asks for hashes and record ends anywhere: in the tail, below it, after a restart,
// behind a switch of timelines.
func TestHashesEqualARecomputation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	g := newGen()
	g.Fill(g.Start()+9<<20, rnd)
	begin(t, s, g)
	look := func(name string, tli lsn.TimelineID, from, to lsn.LSN) {
		t.Helper()
		p := s.Positions()
		if p.Complete != lastRecord(g, p.Received) {
			t.Fatalf("%s: the last record ends at %s, want %s", name, p.Complete, lastRecord(g, p.Received))
		}
		for i := range 300 {
			at := from + 1 + lsn.LSN(rnd.Uint64N(uint64(to-from)))
			switch i {
			case 0:
				at = to
			case 1:
				at = testSeg.Floor(to)
			case 2:
				at = to.PageStart()
			}
			if at <= from {
				continue
			}
			want := sumOf(g, at)
			if got, ok := s.HashAt(tli, at); ok && got != want || !ok && at > s.tail.low {
				t.Fatalf("%s: the hash at %s is %x (%v), want %x", name, at, got, ok, want)
			}
			if got, err := s.ReadHash(tli, at); err != nil || got != want {
				t.Fatalf("%s: the hash at %s is %x, %v, want %x", name, at, got, err, want)
			}
			if got, err := s.LastComplete(tli, at); err != nil || got != lastRecord(g, at) {
				t.Fatalf("%s: the last record before %s ends at %s, %v, want %s", name, at, got, err, lastRecord(g, at))
			}
		}
	}
	for _, m := range g.Messages(g.Start(), rnd) {
		appendMessage(t, s, m)
		for more, err := s.writeStep(); more; more, err = s.writeStep() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if rnd.IntN(40) == 0 {
			look("streaming", 1, g.Start(), m.End())
		}
	}
	drain(t, s)
	sealed := s.Sealed(0)
	if len(sealed) != int((testSeg.Floor(g.End())-g.Start())/lsn.LSN(testSeg)) {
		t.Fatalf("%d digests of complete segments up to %s", len(sealed), g.End())
	}
	look("flushed", 1, g.Start(), g.End())
	checkDigests := func(name string) {
		t.Helper()
		for _, d := range sealed {
			got, err := s.SealedDigest(d.Segment)
			if want := sumOf(g, d.End); err != nil || got != want || d.Sum != want {
				t.Fatalf("%s: digest of %+v is %x, %v, want %x", name, d, got, err, want)
			}
		}
	}
	checkDigests("flushed")
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, fsys)
	look("after a restart", 1, g.Start(), g.End())
	checkDigests("after a restart")

	// The stream goes on, and then another server is promoted in the middle of it.
	before := g.End()
	g.Fill(g.End()+2<<20, rnd)
	start(t, s, 1, testSeg.Floor(before))
	send(t, s, g, testSeg.Floor(before))
	look("after the stream went on", 1, g.Start(), g.End())
	records := g.Records()
	fork := records[len(records)-5].End
	if _, err := s.ReadHash(1, g.End()+1); !errors.Is(err, ErrGap) {
		t.Fatalf("a hash beyond the end: %v", err)
	}
	g = g.Fork(fork, 2)
	putHistory(t, s, g)
	start(t, s, 2, testSeg.Floor(fork))
	look("after the fork", 1, g.Start(), fork)
	if _, ok := s.HashAt(1, fork+1); ok {
		t.Fatal("a hash of WAL that is left behind")
	}
	if _, err := s.ReadHash(1, fork+1); err == nil {
		t.Fatal("a hash of WAL that is left behind is read")
	}
	g.Fill(g.End()+3<<20, rnd)
	send(t, s, g, testSeg.Floor(fork))
	look("on the new timeline", 2, g.Start(), g.End())
	if got := s.Sealed(g.End() - 2<<20); len(got) != 2 || got[0].Timeline != 2 || got[0].Sum != sumOf(g, got[0].End) {
		t.Fatalf("digests of the new timeline: %+v", got)
	}
	if _, err := s.SealedDigest(Segment{Timeline: 1, Start: testSeg.Floor(fork), End: testSeg.Floor(fork) + 1<<20}); err == nil {
		t.Fatal("a digest of a segment that the history does not have")
	}
}

// TestHashesCostNothing: the hash at a position of the tail is had without allocation.
func TestHashesCostNothing(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	g := newGen()
	for range 100 {
		g.Record(1000)
	}
	begin(t, s, g)
	for _, m := range g.Messages(g.Start(), nil) {
		if err := s.AppendFrom(context.Background(), m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = s.HashAt(1, g.End()-77) }); got != 0 {
		t.Errorf("HashAt: %v allocations", got)
	}
}
