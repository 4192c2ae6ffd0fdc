package walstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// dropNewest removes the newest n segments of a disk.
func dropNewest(t *testing.T, disk *vfs.Mem, n int) {
	t.Helper()
	names, err := disk.ReadDir("/data/wal")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(s string) bool { return !isSegmentName(s) })
	slices.Sort(names)
	for _, name := range names[max(0, len(names)-n):] {
		if err := disk.Remove("/data/wal/" + name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOwedStories: random lives of a store whose newest segments vanish or rot. What was told is there or owed. The name
// of what is owed is the hash of the primary's bytes at the end of one of its records, and it is not forgotten.
func TestOwedStories(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		disk, g := vfs.NewMem(), newGen()
		s := openMem(t, disk)
		g.Fill(g.Start()+1<<20, rnd)
		begin(t, s, g)
		at := g.Start()
		var owed Repair
		for life := range 6 {
			g.Fill(g.End()+lsn.LSN(rnd.Uint64N(3<<20)), rnd)
			if rnd.IntN(4) == 0 {
				g.Switch()
			}
			for _, m := range g.Messages(at, rnd) {
				if rnd.IntN(300) == 0 {
					break
				}
				appendMessage(t, s, m)
				for rnd.IntN(3) > 0 {
					f := []func() (bool, error){s.writeStep, s.writeStep, s.syncStep, s.markStep}[rnd.IntN(4)]
					if _, err := f(); err != nil {
						t.Fatal(err)
					}
				}
				for more := true; more && s.Positions().Received-s.Positions().Written > 1<<19; {
					more, _ = s.writeStep()
				}
			}
			if rnd.IntN(2) == 0 {
				drain(t, s)
			}
			told := s.Positions()
			if rnd.IntN(3) == 0 {
				_ = s.closeMark()
			}
			if _, owes := s.Repairing(); !owes {
				owed = Repair{}
			}
			if rnd.IntN(2) == 0 {
				disk = disk.Kill()
			} else {
				disk = disk.Crash(rnd)
			}
			switch rnd.IntN(4) {
			case 0:
				dropNewest(t, disk, 1)
			case 1:
				dropNewest(t, disk, 1+rnd.IntN(3))
			case 2:
				at := g.Start() + lsn.LSN(rnd.Uint64N(uint64(told.Flushed-g.Start())+1))
				name := "/data/wal/" + testSeg.FileName(1, testSeg.Segno(at))
				if f, err := disk.OpenWrite(name); err == nil {
					_, _ = f.WriteAt(make([]byte, min(lsn.LSN(testSeg)-lsn.LSN(testSeg.Offset(at)), 20000)), testSeg.Offset(at))
					_ = f.Sync()
				}
			}
			s = openMem(t, disk)
			p := s.Positions()
			r, owes := s.Repairing()
			say := fmt.Sprintf("seed %d life %d: told %+v, now %+v, owes %+v %v", seed, life, told, p, r, owes)
			if owes && r.Print != (lsn.Print{}) {
				if want := sumOf(g, r.Print.LSN); want != r.Print.Sum || r.Print.Timeline != 1 {
					t.Fatalf("%s: print %+v, want %x", say, r.Print, want)
				}
				if lastRecord(g, r.Print.LSN) != r.Print.LSN {
					t.Fatalf("%s: no record ends at the print", say)
				}
				if r.Print.LSN > r.To {
					t.Fatalf("%s: print beyond to", say)
				}
			}
			if p.Received < told.Flushed && (!owes || r.To < told.Flushed) {
				t.Fatalf("%s: told is not owed", say)
			}
			if owed.To > p.Received && (r.To < owed.To || r.Print.LSN < owed.Print.LSN) {
				t.Fatalf("%s: was owed %+v", say, owed)
			}
			if owes {
				owed = r
			}
			at = testSeg.Floor(p.Received)
			start(t, s, 1, at)
		}
		_ = s.Close()
	}
}
