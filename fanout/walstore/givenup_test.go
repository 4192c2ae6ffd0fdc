package walstore

import (
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
)

// instead returns WAL that came in the place of what s owes, and that goes on beyond it.
func instead(s *Store, g *walstoretest.Generator) *walstoretest.Generator {
	r, _ := s.Repairing()
	x := g.Again(lastRecord(g, max(s.Positions().Received, r.To-100_000)))
	for x.End() < r.To+50_000 {
		x.Record(3100)
	}
	return x
}

// TestGivenUpOutlivesAPowerLoss: the operator gives up what is owed, and the primary's WAL goes on beyond the record that
// named it. A start does not take that WAL for other WAL, whatever happens to the note of the debt.
func TestGivenUpOutlivesAPowerLoss(t *testing.T) {
	s, disk, g := lostNewest(t, 1)
	x := instead(s, g)
	at := testSeg.Floor(s.Positions().Received)
	start(t, s, 1, at)
	if err := s.GiveUpRepair(); err != nil {
		t.Fatal(err)
	}
	for from := at; from < x.End(); from += min(x.End()-from, 100_000) {
		appendMessage(t, s, walstoretest.Message{At: from, Data: x.Bytes(from, from+min(x.End()-from, 100_000))})
		drain(t, s)
	}
	told := s.Positions()
	s = openMem(t, disk.Crash(nil))
	if again, owes := s.Repairing(); owes || s.Positions().Flushed < told.Flushed {
		t.Errorf("told %+v, now %+v, owes %v %+v", told, s.Positions(), owes, again)
	}
}

// TestNotGivenUp: the note of the debt cannot be removed. The store goes on owing, and says why.
func TestNotGivenUp(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRemove, vfs.OpSyncDir} {
		_, disk, _ := lostNewest(t, 1)
		fault := vfs.NewFault(disk.Kill())
		s := openMem(t, fault)
		owed, _ := s.Repairing()
		fault.Set(func(o vfs.Op, name string) error {
			if o == op && (o == vfs.OpSyncDir || strings.HasSuffix(name, owedName)) {
				return os.ErrPermission
			}
			return nil
		})
		if err := s.GiveUpRepair(); err == nil {
			t.Errorf("op %v: given up without an error", op)
		}
		if r, owes := s.Repairing(); !owes || r != owed {
			t.Errorf("op %v: owes %v %+v, it owed %+v", op, owes, r, owed)
		}
	}
}

// TestGivenUpIsNotPromised: once it has been given up, the file promised names that WAL no more, so that a store that is
// emptied after that does not ask primaries for it.
func TestGivenUpIsNotPromised(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+2<<20+300_000 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	give(t, s, g, g.Start(), g.End())
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	disk = disk.Kill()
	dropNewest(t, disk, 1)
	s = openMem(t, disk)
	r, _ := s.Repairing()
	x, was := instead(s, g), s.Promised()
	if err := s.GiveUpRepair(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPromised(was.At); err != nil { // as who gives it up does next
		t.Fatal(err)
	}
	give(t, s, x, s.Positions().Received, x.End())
	for range 2 {
		if p := s.Promised(); p.Print == r.Print {
			t.Errorf("%+v is given up, and promised names it: %+v", r.Print, p)
		}
		disk = disk.Kill()
		dropAll(t, disk)
		s = openMem(t, disk)
	}
}
