package walstore

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
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

// TestNotGivenUpIsNotForgotten: the note of a debt could not be written, on a full disk, and to give the debt up fails as
// well. The mark stays above what is there, so the next start goes on owing.
func TestNotGivenUpIsNotForgotten(t *testing.T) {
	_, disk, g := lostNewest(t, 1)
	disk = disk.Kill()
	_ = disk.Remove("/data/wal/" + owedName)
	dropNewest(t, disk, 1)
	fault := vfs.NewFault(disk)
	fault.Set(func(op vfs.Op, name string) error {
		if strings.Contains(name, owedName) && op != vfs.OpRemove {
			return syscall.ENOSPC
		}
		return nil
	})
	s := openMem(t, fault)
	owed, _ := s.Repairing()
	fault.Set(func(op vfs.Op, _ string) error {
		if op == vfs.OpSyncDir {
			return syscall.EMFILE
		}
		return nil
	})
	if err := s.GiveUpRepair(); err == nil {
		t.Fatal("given up")
	}
	fault.Set(nil)
	at := testSeg.Floor(s.Positions().Received)
	start(t, s, 1, at)
	s.in.hold = lsn.Invalid // as with a small tail
	appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, owed.Print.LSN-100_000)})
	drain(t, s)
	s = openMem(t, disk.Kill())
	if again, owes := s.Repairing(); !owes || again.Print != owed.Print {
		t.Errorf("owed %+v, now %v %+v, %+v", owed, owes, again, s.Positions())
	}
}

// TestDigestOfWhatWasGivenUp: the newest segment is lost, and the one before, which was sealed, has rotted. The debt is
// given up, other WAL fills that segment, and the process is killed. The old digest does not speak of it.
func TestDigestOfWhatWasGivenUp(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+4<<20+300_000 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	give(t, s, g, g.Start(), g.End())
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	disk = disk.Kill()
	dropNewest(t, disk, 1)
	flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(g.End())-1), int64(testSeg)-3000)
	s = openMem(t, disk)
	at := testSeg.Floor(s.Positions().Received)
	r, _ := s.Repairing()
	x := g.Again(lastRecord(g, at+100_000))
	for x.End() < r.To+2<<20 {
		x.Record(3100)
	}
	if err := s.GiveUpRepair(); err != nil {
		t.Fatal(err)
	}
	give(t, s, x, at, x.End())
	for range 2 {
		disk = disk.Kill()
		s = openMem(t, disk)
		end := at + lsn.LSN(testSeg)
		if sum, err := s.ReadHash(1, end); err != nil || sum != sumOf(x, end) {
			t.Errorf("the hash at %s is not that of the stored WAL: %v", end, err)
		}
		readAll(t, s, x, 1, at, x.End())
	}
}

// TestGivenUpDoesNotComeBack: a page has rotted, and the WAL behind it is still on the disk. It is given up, and other WAL
// comes. The process or the machine stops before that parts from the old, or where a record ends as one of the old did.
// The next start ends where the new WAL does.
func TestGivenUpDoesNotComeBack(t *testing.T) {
	for name, c := range map[string]struct{ parts, ends lsn.LSN }{ // from where the store ended
		"before the other WAL parts": {100_000, 50_000}, "records of the same sizes": {20_000, 100_000},
	} {
		s, disk, g := lostNewest(t, 0)
		end := s.Positions().Flushed
		disk = disk.Kill()
		flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(end)), 100_000)
		s = openMem(t, disk)
		r, _ := s.Repairing()
		p := s.Positions()
		x := g.Again(lastRecord(g, p.Received+c.parts))
		for x.End() < r.To {
			x.Record(3000)
		}
		if err := s.GiveUpRepair(); err != nil {
			t.Fatal(err)
		}
		to := lastRecord(x, p.Received+c.ends)
		give(t, s, x, p.Received, to)
		told := s.Positions()
		for _, after := range []*vfs.Mem{disk.Crash(nil), disk.Kill()} {
			s := openMem(t, after)
			if q := s.Positions(); q.Received != told.Received {
				t.Errorf("%s: told %s, it owed up to %s, and now ends at %s", name, told.Flushed, r.To, q.Received)
			}
		}
	}
}
