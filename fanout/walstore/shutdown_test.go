package walstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The record may lie anywhere to a page boundary, and nothing else passes for it.
func TestEndsWithShutdownCheckpoint(t *testing.T) {
	across := 0
	for n := 0; n < 300; n += 8 {
		g := newGen()
		g.Record(lsn.PageSize - 300 + n - int(g.End()%lsn.PageSize))
		before := g.End()
		rec := g.ShutdownCheckpoint()
		if rec.LSN.PageStart() != (rec.End - 1).PageStart() {
			across++
		}
		s := openMem(t, vfs.NewMem())
		begin(t, s, g)
		send(t, s, g, g.Start())
		if !s.EndsWithShutdownCheckpoint(rec.End) {
			t.Fatalf("not found at %s to %s", rec.LSN, rec.End)
		}
		if s.EndsWithShutdownCheckpoint(before) || s.EndsWithShutdownCheckpoint(rec.End-8) || s.EndsWithShutdownCheckpoint(0) {
			t.Fatal("found where WAL does not end")
		}
		drain(t, s)
		if !s.EndsWithShutdownCheckpoint(rec.End) {
			t.Fatal("not found once it is on disk")
		}
		g.Record(10)
		send(t, s, g, rec.End)
		if s.EndsWithShutdownCheckpoint(rec.End) || s.EndsWithShutdownCheckpoint(g.End()) {
			t.Fatal("WAL goes on, and it is found")
		}
		torn := openMem(t, vfs.NewMem())
		begin(t, torn, g)
		for _, m := range g.Messages(g.Start(), nil) {
			if m.At >= rec.End {
				continue
			}
			m.Data = bytes.Clone(m.Data[:min(m.End(), rec.End)-m.At])
			if m.End() == rec.End {
				m.Data[len(m.Data)-7] ^= 1 // the last byte before its padding
			}
			appendMessage(t, torn, m)
		}
		if torn.Positions().Received != rec.End || torn.EndsWithShutdownCheckpoint(rec.End) {
			t.Fatal("found although its checksum is wrong")
		}
	}
	if across == 0 {
		t.Error("no record crossed a page boundary")
	}
}

// TestShutdownCheckpointBehindASwitch: the segment before ends with the zeros of an XLOG_SWITCH, as after a base backup,
// and the record lies in the first page of the next one.
func TestShutdownCheckpointBehindASwitch(t *testing.T) {
	for _, before := range []int{0, 100, lsn.PageSize - 400} { // bytes in that page
		g := newGen()
		g.Record(3000)
		g.Switch()
		if before > 0 {
			g.Record(before)
		}
		rec := g.ShutdownCheckpoint()
		s := openMem(t, vfs.NewMem())
		begin(t, s, g)
		send(t, s, g, g.Start())
		if !s.EndsWithShutdownCheckpoint(rec.End) {
			t.Errorf("not found at %s to %s", rec.LSN, rec.End)
		}
	}
}

// TestPromisedAfterCrashes: whatever a crash tears, the bound is never below what was made durable, and
// "all" becomes what was recovered, once.
func TestPromisedAfterCrashes(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		mem, g := vfs.NewMem(), newGen()
		s := openMem(t, mem)
		if s.Promised() != (Promise{}) {
			t.Fatal(s.Promised())
		}
		begin(t, s, g)
		sure := lsn.LSN(0)
		for range 1 + rnd.IntN(4) {
			g.Record(100 + rnd.IntN(3000))
			store(t, s, g, s.Positions().Received)
			flushed := s.Positions().Flushed
			to := flushed - lsn.LSN(rnd.IntN(100))
			if rnd.IntN(2) == 0 {
				to = PromisedAll
			}
			if err := s.SetPromised(to); err != nil || s.Promised().At != to {
				t.Fatal(s.Promised(), err)
			}
			if sure = to; to == PromisedAll {
				sure = flushed
			}
			if rnd.IntN(3) > 0 {
				continue
			}
			mem = mem.Crash(rnd)
			s = openMem(t, mem)
			if got := s.Promised().At; got != sure {
				t.Fatalf("seed %d: %s, promised was %s", seed, got, sure)
			}
			start(t, s, 1, testSeg.Floor(s.Positions().Received))
			send(t, s, g, testSeg.Floor(s.Positions().Received))
		}
	}
	fault := vfs.NewFault(vfs.NewMem())
	s := openMem(t, fault)
	begin(t, s, newGen())
	for _, to := range []lsn.LSN{5, 6} {
		fault.Set(func(vfs.Op, string) error { return errors.New("no disk") })
		if err := s.SetPromised(to); err == nil || s.Promised().At == to {
			t.Errorf("%s: %v", s.Promised().At, err)
		}
		fault.Set(nil)
		if err := s.SetPromised(to); err != nil || s.Promised().At != to {
			t.Error(s.Promised(), err)
		}
	}
}
