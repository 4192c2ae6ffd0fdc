package walstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRecordIsReplaced: the stream ended inside a record, and the same server comes back without it, on the same
// timeline. What was received of it is replaced by what comes now; a difference before it stays one (ruling R36).
func TestRecordIsReplaced(t *testing.T) {
	for name, long := range map[string]int{"one page": 20_000, "several segments": 3<<20 + 500_000} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(5, uint64(long)))
			old := newGen()
			old.Fill(old.Start()+5<<19, rnd)
			whole := old.Record(100).End
			old.Record(long)
			received := (old.End() - 1).PageStart()
			again := old.Again(whole)
			again.Record(3000) // on the page where the other one began
			again.Fill(again.End()+5<<20, rnd)
			fsys := vfs.NewMem()
			s := openMem(t, fsys)
			begin(t, s, old)
			sendUpTo(t, s, old, received)
			drain(t, s)
			if err := s.housekeepingStep(); err != nil { // digests of segments that are complete only as bytes
				t.Fatal(err)
			}
			from := testSeg.Floor(whole)
			start(t, s, 1, from)
			n := min(again.End()-from, MaxMessage)
			err := s.AppendFrom(context.Background(), from, bytes.NewReader(again.Bytes(from, from+n)), int(n))
			var replaced *ReplacedError
			if !errors.As(err, &replaced) || replaced.LSN < whole {
				t.Fatalf("another record: %v", err)
			}
			if at, err := s.DropIncomplete(); err != nil || at != whole {
				t.Fatalf("DropIncomplete: %s, %v, want %s", at, err, whole)
			}
			want := Positions{Timeline: 1, Oldest: old.Start(), Received: whole, Written: whole, Flushed: whole, Reportable: whole, Complete: whole}
			if p := s.Positions(); p != want {
				t.Fatalf("behind it: %+v, want %+v", p, want)
			}
			s = reopen(t, s, fsys) // a crash right then
			if p := s.Positions(); p.Complete != whole || p.Received < whole || p.Received > received {
				t.Fatalf("opened again: %+v", p)
			}
			if _, err := s.DropIncomplete(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				start(t, s, 1, testSeg.Floor(s.Positions().Received))
				store(t, s, again, testSeg.Floor(s.Positions().Received))
				if err := s.housekeepingStep(); err != nil {
					t.Fatal(err)
				}
				readAll(t, s, again, 1, again.Start(), again.End())
				if sum, ok := s.HashAt(1, again.End()); !ok || sum != sumOf(again, again.End()) {
					t.Fatalf("the hash is %x, %v", sum, ok)
				}
				s = reopen(t, s, fsys)
			}
			for at := testSeg.Floor(again.End()); at > again.Start(); at -= lsn.LSN(testSeg) {
				if d, err := s.SealedDigest(Segment{1, at - lsn.LSN(testSeg), at}); err != nil || d != sumOf(again, at) {
					t.Fatalf("digest of the segment that ends at %s: %x, %v", at, d, err)
				}
			}
			start(t, s, 1, from)
			n = min(whole-from, MaxMessage)
			bad := bytes.Clone(again.Bytes(from, from+n))
			bad[len(bad)-1] ^= 1
			err = s.AppendFrom(context.Background(), from, bytes.NewReader(bad), int(n))
			if errors.As(err, &replaced) || !errors.Is(err, ErrDiverged) {
				t.Fatalf("a difference in a complete record: %v", err)
			}
		})
	}
}

// TestNothingIncomplete: where a record ends there is nothing to drop.
func TestNothingIncomplete(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+5<<18, rand.New(rand.NewPCG(1, 2)))
	s := openMem(t, vfs.NewMem())
	begin(t, s, g)
	store(t, s, g, g.Start())
	before := s.Positions()
	moved := s.Watch(MovedReceived | MovedWritten | MovedFlushed)
	defer moved.Close()
	<-moved.C()
	if at, err := s.DropIncomplete(); err != nil || at != g.End() || s.Positions() != before {
		t.Fatalf("%s, %v, %+v", at, err, s.Positions())
	}
	select {
	case <-moved.C():
		t.Error("the store was cut at its own end, and readers are told")
	default:
	}
}

// TestReplacedSegmentSurvivesPowerLoss: a record that replaces another one's beginning, in a segment that had a digest,
// is found again after a power loss at any step. The segment's earlier digest does not make it damaged.
func TestReplacedSegmentSurvivesPowerLoss(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 7))
	old := newGen()
	old.Fill(old.Start()+5<<19, rnd)
	whole := old.Record(100).End
	old.Record(3<<20 + 500_000)
	again := old.Again(whole)
	again.Record(3000)
	again.Fill(again.End()+5<<20, rnd)
	end := testSeg.Floor(whole) + lsn.LSN(testSeg)
	for stop := 0; ; stop++ { // calls of the file system until the machine stops
		disk := vfs.NewMem()
		fault := vfs.NewFault(disk)
		s := openMem(t, fault)
		begin(t, s, old)
		sendUpTo(t, s, old, (old.End() - 1).PageStart())
		drain(t, s)
		if err := s.housekeepingStep(); err != nil { // the digest of a segment that is complete only as bytes
			t.Fatal(err)
		}
		left := stop
		fault.Set(func(vfs.Op, string) error {
			if left--; left < 0 {
				return errCut
			}
			return nil
		})
		_, err := s.DropIncomplete()
		if err == nil {
			fault.Set(nil)
			start(t, s, 1, again.Start())
			sendUpTo(t, s, again, end)
			drain(t, s)
		}
		for seed := range uint64(3) {
			_ = s.Close()
			after := openMem(t, disk.Crash(rand.New(rand.NewPCG(seed, uint64(stop)))))
			p := after.Positions()
			if p.Received < whole || err == nil && p.Received < end {
				r, owed := after.Repairing()
				t.Fatalf("stopped at call %d (%v), seed %d: %+v, whole %s, end %s, owed %v %+v", stop, err, seed, p, whole, end, owed, r)
			}
			if _, err := after.DropIncomplete(); err != nil {
				t.Fatal(err)
			}
			if after.Positions().Received < end {
				start(t, after, 1, again.Start())
				sendUpTo(t, after, again, end)
				drain(t, after)
			}
			readAll(t, after, again, 1, again.Start(), end)
			_ = after.Close()
		}
		if err == nil {
			return
		}
	}
}
