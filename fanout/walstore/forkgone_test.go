package walstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// give sends g's WAL from at's segment on up to to, and writes it.
func give(t *testing.T, s *Store, g *walstoretest.Generator, at, to lsn.LSN) {
	t.Helper()
	at = testSeg.Floor(at)
	start(t, s, g.Timeline(), at)
	for ; at < to; at += min(to-at, 100_000) {
		appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, at+min(to-at, 100_000))})
		drain(t, s)
	}
}

// forked returns a disk whose store had beyond bytes more of timeline 1 than the fork, and has past bytes of timeline 2.
func forked(t *testing.T, beyond, past lsn.LSN) (disk *vfs.Mem, g *walstoretest.Generator, fork lsn.LSN) {
	t.Helper()
	disk, old := vfs.NewMem(), newGen()
	for old.End() < old.Start()+2<<20+300_000 {
		old.Record(3000)
	}
	fork = old.End()
	g = old.Fork(fork, 2)
	for g.End() < fork+past {
		g.Record(2900)
	}
	old.Record(100_000)
	s := openMem(t, disk)
	begin(t, s, old)
	give(t, s, old, old.Start(), fork+beyond)
	putHistory(t, s, g)
	give(t, s, g, fork, g.End())
	return disk.Kill(), g, fork
}

// loseFork removes the segment of timeline 2 in which it began.
func loseFork(t *testing.T, disk *vfs.Mem, fork lsn.LSN) {
	t.Helper()
	if err := disk.Remove("/data/wal/" + testSeg.FileName(2, testSeg.Segno(fork))); err != nil {
		t.Fatal(err)
	}
}

// TestSegmentOfTheForkIsGone: the segment in which the timeline began is lost, and that of the timeline before is there,
// with the beginning of a record beyond the fork or without. The store ends at the fork, and goes on from there.
func TestSegmentOfTheForkIsGone(t *testing.T) {
	for _, c := range []struct{ beyond, past lsn.LSN }{
		{0, 1000}, {0, 50_000}, {5000, 1000}, {40_000, 1000}, {40_000, 50_000},
	} {
		disk, g, fork := forked(t, c.beyond, c.past)
		loseFork(t, disk, fork)
		for life := range 3 {
			s := openMem(t, disk)
			receiveAgain(t, s, g)
			if s.Positions().Flushed != g.End() {
				t.Fatalf("%d bytes past the fork, start %d: %+v, want %s", c.past, life, s.Positions(), g.End())
			}
			if life > 0 {
				readAll(t, s, g, 2, testSeg.Floor(fork), g.End())
			}
			_ = s.Close()
			disk = disk.Kill()
		}
	}
}

// TestSegmentOfTheForkIsMadeAtOnce: the lost segment is made anew, which fails once and is tried again. What has been
// written of the file that failed is nobody's WAL.
func TestSegmentOfTheForkIsMadeAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		op       vfs.Op
		err      error
		timeline string
	}{
		"no descriptor to read the old one": {vfs.OpOpen, syscall.EMFILE, "00000001"},
		"no room while it is written":       {vfs.OpWrite, syscall.ENOSPC, "00000002"},
		"no room when it is synced":         {vfs.OpSync, syscall.ENOSPC, "00000002"},
		"quota":                             {vfs.OpWrite, syscall.EDQUOT, "00000002"},
	} {
		t.Run(name, func(t *testing.T) {
			disk, g, fork := forked(t, 0, 50_000)
			loseFork(t, disk, fork)
			fault := vfs.NewFault(disk)
			s := openMem(t, fault)
			at := testSeg.Floor(s.Positions().Received)
			start(t, s, 2, at)
			for _, m := range g.Messages(at, nil) {
				appendMessage(t, s, m)
			}
			s.segs.closeUnused() // as readers of other segments do
			failed := 0
			fault.Set(func(op vfs.Op, name string) error {
				if op == c.op && strings.Contains(name, "/wal/"+c.timeline) && failed == 0 {
					failed++
					return c.err
				}
				return nil
			})
			err := s.drain()
			for range 5 { // as stage does
				if errors.Is(err, errNoSpace) {
					err = s.drain()
				}
			}
			if failed != 1 || err != nil {
				t.Fatalf("failed %d times, in the end %v", failed, err)
			}
			readAll(t, s, g, 2, at, g.End())
		})
	}
}

// TestSegmentGoneWhileItGoesOn: the segment that goes on is removed behind a store that runs. It is no fork's, so nothing
// is put in its place.
func TestSegmentGoneWhileItGoesOn(t *testing.T) {
	s, disk, g := lostNewest(t, 0)
	g.Record(50_000)
	p := s.Positions()
	at := testSeg.Floor(p.Received)
	s.segs.closeUnused()
	if err := disk.Remove("/data/wal/" + testSeg.FileName(1, testSeg.Segno(at))); err != nil {
		t.Fatal(err)
	}
	start(t, s, 1, at)
	s.in.next = p.Received // the stream has come to where the store ended
	appendMessage(t, s, walstoretest.Message{At: p.Received, Data: g.Bytes(p.Received, g.End())})
	if err := s.drain(); err == nil {
		t.Fatalf("%+v is published without the WAL before it", s.Positions())
	}
}

// TestSegmentOfTheForkIsLostLater: others followed it when the segment of the fork is lost. It is fetched like any other,
// and what lies below it is not "removed".
func TestSegmentOfTheForkIsLostLater(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		disk, _, fork := forked(t, 0, 3<<20)
		s := openMem(t, disk)
		if sealed {
			if err := s.housekeepingStep(); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Positions()
		if err := s.closeMark(); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		disk = disk.Kill()
		loseFork(t, disk, fork)
		s = openMem(t, disk)
		if s.Positions().Oldest != before.Oldest {
			t.Errorf("sealed %v: oldest %s, was %s", sealed, s.Positions().Oldest, before.Oldest)
		}
		r, err := s.NewReader(2, fork+1000)
		if err == nil {
			defer r.Close()
			_, err = r.Next(fork+2000, walstoretest.MaxSend)
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("sealed %v: %v, want one that says what is damaged", sealed, err)
		}
	}
}

// TestSegmentOfTheForkIsLostBeforeTheNewest: the segment of the fork is lost, and the mark lies in the next one, which is
// whole. As with any other segment nothing is owed.
func TestSegmentOfTheForkIsLostBeforeTheNewest(t *testing.T) {
	for _, beyond := range []lsn.LSN{0, 5000} {
		disk, _, fork := forked(t, beyond, 1<<20)
		s := openMem(t, disk)
		if err := s.closeMark(); err != nil {
			t.Fatal(err)
		}
		told := s.Positions()
		disk = disk.Kill()
		loseFork(t, disk, fork)
		s = openMem(t, disk)
		if r, owes := s.Repairing(); owes || s.Positions().Flushed != told.Flushed {
			t.Errorf("%d beyond: told %+v, now %+v, owes %v %+v", beyond, told, s.Positions(), owes, r)
		}
	}
}

// TestStopWhileTheForkIsMade: the machine stops at any call of the file system while the lost segment of the fork is made
// anew. The next start has what was told, and the right bytes.
func TestStopWhileTheForkIsMade(t *testing.T) {
	for left := 0; ; left++ {
		disk, g, fork := forked(t, 0, 50_000)
		loseFork(t, disk, fork)
		calls := -1
		fault := vfs.NewFault(disk)
		s := openMem(t, fault)
		at := testSeg.Floor(s.Positions().Received)
		start(t, s, 2, at)
		fault.Set(func(vfs.Op, string) error {
			if calls++; calls >= left {
				return errors.New("stop")
			}
			return nil
		})
		var err error
		for _, m := range g.Messages(at, nil) {
			if err = s.AppendFrom(t.Context(), m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
				break
			}
		}
		if err == nil {
			err = s.drain()
		}
		told := s.Positions()
		for _, d := range []*vfs.Mem{disk.Crash(rand.New(rand.NewPCG(uint64(left), 1))), disk.Kill()} {
			again := openMem(t, d)
			if again.Positions().Flushed < told.Flushed {
				t.Errorf("stopped at call %d: told %+v, now %+v", left, told, again.Positions())
			}
			checkStored(t, again, g)
			give(t, again, g, again.Positions().Received, g.End())
			checkStored(t, again, g)
		}
		if err == nil && calls < left {
			return
		}
	}
}

// TestDamageBelowTheFork: shortly after a failover the segment before the one in which the timeline began has rotted, or
// that one is lost as well. The store ends below the new timeline's first segment. It takes the older timeline, up to
// where that was left, and then the new one.
func TestDamageBelowTheFork(t *testing.T) {
	for name, c := range map[string]struct {
		sealed, lost bool
		at           int64
	}{
		"last page":                   {false, false, 1<<20 - 3000},
		"last page, sealed":           {true, false, 1<<20 - 3000},
		"last page, fork lost":        {false, true, 1<<20 - 3000},
		"anywhere, sealed, fork lost": {true, true, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			disk, g, fork := forked(t, 0, 1000)
			if c.sealed {
				if err := openMem(t, disk).housekeepingStep(); err != nil {
					t.Fatal(err)
				}
				disk = disk.Kill()
			}
			before := testSeg.Floor(fork) - 1
			flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(before)), c.at)
			if c.lost {
				loseFork(t, disk, fork)
				_ = disk.Remove("/data/wal/" + testSeg.FileName(1, testSeg.Segno(fork)))
			}
			s := openMem(t, disk)
			at := testSeg.Floor(s.Positions().Received)
			if at >= testSeg.Floor(fork) {
				t.Fatalf("it ends at %s, in the segment of the fork", at)
			}
			if n, _ := s.NextSegment(); n.Timeline != 1 {
				t.Errorf("an archive is asked for %s", s.Name(n))
			}
			start(t, s, 1, at)
			for ; at < fork; at += min(fork-at, 100_000) {
				appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, at+min(fork-at, 100_000))})
				drain(t, s)
			}
			if err := s.AppendFrom(t.Context(), fork, bytes.NewReader(g.Bytes(fork, fork+8)), 8); !errors.Is(err, ErrGap) {
				t.Errorf("WAL of timeline 1 beyond the fork: %v", err)
			}
			give(t, s, g, fork, g.End())
			for range 2 {
				checkStored(t, s, g)
				readAll(t, s, g, 2, testSeg.Floor(fork), g.End())
				if _, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() {
					t.Errorf("%+v, owes %v", s.Positions(), owes)
				}
				disk = disk.Kill()
				s = openMem(t, disk)
			}
		})
	}
}
