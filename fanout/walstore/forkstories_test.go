package walstore

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// recordTo makes records whose last one ends at to, or as near to it as can be.
func recordTo(g *walstoretest.Generator, to lsn.LSN) lsn.LSN {
	for g.End()+9000 < to {
		g.Record(3000)
	}
	for n := max(0, (int(to)-int(g.End())-240)&^7); n < int(to)-int(g.End()); n += 8 {
		x := g.Again(g.End())
		if x.Record(n); x.End() == to {
			break
		}
	}
	g.Record(max(0, int(to)-int(g.End())-100))
	return g.End()
}

// TestForkStories: a store on its third timeline loses any of the files in which a timeline began. The forks may lie in
// one segment, at the end of a page or of a segment. Each start takes what is missing, and serves no other bytes.
func TestForkStories(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		pick := func(of ...lsn.LSN) lsn.LSN { return of[rnd.IntN(len(of))] }
		fork := 3<<20 + pick(0, 20, 40_000, 8*lsn.PageSize, 1<<20-5000)
		next, beyond := pick(64, 4000, lsn.PageSize, 100_000, 900_000, 1<<20), pick(0, 5000)
		past, lost := pick(100, 30_000, 1<<20+50_000), rnd.IntN(16)
		t.Run(fmt.Sprintf("seed %d, fork %s +%d, beyond %d, past %d, lost %b", seed, fork, next, beyond, past, lost),
			func(t *testing.T) { forkStory(t, fork, next, beyond, past, lost) })
	}
}

// forkStory plays one: lost has a bit for each timeline, and one for the newest segment.
func forkStory(t *testing.T, fork, next, beyond, past lsn.LSN, lost int) {
	disk, first := vfs.NewMem(), newGen()
	fork = recordTo(first, fork)
	second := first.Fork(fork, 2)
	first.Record(60_000)
	next = recordTo(second, fork+next)
	third := second.Fork(next, 3)
	second.Record(60_000)
	for third.End() < next+past {
		third.Record(2900)
	}
	s := openMem(t, disk)
	begin(t, s, first)
	give(t, s, first, first.Start(), fork+beyond)
	putHistory(t, s, second)
	give(t, s, second, fork, next+beyond)
	putHistory(t, s, third)
	give(t, s, third, next, third.End())
	disk = disk.Kill()
	for tli := range lsn.TimelineID(3) {
		if lost&(1<<tli) != 0 {
			_ = disk.Remove("/data/wal/" + testSeg.FileName(tli+1, testSeg.Segno(fork)))
			_ = disk.Remove("/data/wal/" + testSeg.FileName(tli+1, testSeg.Segno(next)))
		}
	}
	if lost&8 != 0 {
		dropNewest(t, disk, 1)
	}
	for range 3 {
		s = openMem(t, disk)
		checkStored(t, s, third)
		give(t, s, third, s.Positions().Received, third.End())
		checkStored(t, s, third)
		if _, owes := s.Repairing(); owes || s.Positions().Flushed != third.End() {
			t.Errorf("%+v, owes %v", s.Positions(), owes)
		}
		if err := s.housekeepingStep(); err != nil {
			t.Error(err)
		}
		_ = s.Close()
		disk = disk.Kill()
	}
}

// checkStored compares with g what can be read of the store, segment by segment. One that is damaged is fetched elsewhere.
func checkStored(t *testing.T, s *Store, g *walstoretest.Generator) {
	t.Helper()
	p := s.Positions()
	for at := p.Oldest; at < p.Received; {
		stop := min(p.Received, testSeg.Floor(at)+lsn.LSN(testSeg))
		b := make([]byte, stop-at)
		if err := s.readStored(at, b); err != nil {
			t.Logf("[%s, %s): %v", at, stop, err)
		} else if n := firstDifference(b, g.Bytes(at, stop)); string(b) != string(g.Bytes(at, stop)) {
			t.Errorf("[%s, %s) differs at %s", at, stop, at+n)
		}
		at = stop
	}
}
