package walstore

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestPaddingIsNoOtherWAL: a byte has rotted that is of no record, so that the mark's hash is another one. Every record is
// whole, and nothing was owed: all of it stays. The primary may be gone, and this store may have the only copy.
func TestPaddingIsNoOtherWAL(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+2<<20+500_000 {
		g.Record(3001) // records begin at multiples of 8
	}
	s := openMem(t, disk)
	begin(t, s, g)
	store(t, s, g, g.Start())
	before, padding := s.Positions(), lsn.Invalid
	for _, r := range g.Records() {
		if r.LSN > g.Start()+2<<20+100_000 && r.LSN.PageOffset() > 100 && padding == lsn.Invalid {
			padding = r.LSN - 1
		}
	}
	disk = disk.Kill()
	flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(padding)), testSeg.Offset(padding))
	s = openMem(t, disk)
	if r, owes := s.Repairing(); owes || s.Positions() != before {
		t.Errorf("padding at %s has rotted: owes %v, %+v; had %+v, has %+v", padding, owes, r, before, s.Positions())
	}
	if names, err := disk.ReadDir("/data/diverged"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("moved aside: %v, %v", names, err)
	}
}

// unnoted returns a disk on which other WAL was taken while the debt could not be noted, and what was owed. The mark alone
// says so.
func unnoted(t *testing.T) (disk *vfs.Mem, owed Repair, other *walstoretest.Generator) {
	t.Helper()
	_, disk, g := lostNewest(t, 0)
	disk = disk.Kill()
	dropNewest(t, disk, 1)
	fault := vfs.NewFault(disk)
	fault.Set(func(op vfs.Op, name string) error {
		if op == vfs.OpWrite && strings.Contains(name, owedName) {
			return syscall.ENOSPC
		}
		return nil
	})
	s := openMem(t, fault)
	owed, owes := s.Repairing()
	if !owes || s.stages.unnoted == nil {
		t.Fatalf("%v %+v", owes, owed)
	}
	at := testSeg.Floor(s.Positions().Received)
	other = g.Again(lastRecord(g, at+100_000))
	other.Record(3000)
	end := other.Switch().End
	start(t, s, 1, at)
	s.in.hold = lsn.Invalid // as with a small tail
	appendMessage(t, s, walstoretest.Message{At: at, Data: other.Bytes(at, end)})
	if err := s.drain(); !errors.Is(err, errNoSpace) {
		t.Fatal(err)
	}
	return disk.Kill(), owed, other
}

// TestKilledBeforeTheNote: other WAL was taken, and the debt could not be noted. The next start is killed at any call. The
// one after that goes on owing.
func TestKilledBeforeTheNote(t *testing.T) {
	for n, all := 1, false; !all; n++ {
		disk, owed, _ := unnoted(t)
		dying, calls, last := vfs.NewFault(disk), 0, ""
		dying.Set(func(op vfs.Op, name string) error {
			if calls++; calls < n {
				return nil
			}
			if calls == n {
				last = string(op) + " " + name
			}
			return fs.ErrClosed
		})
		s, err := Open(t.Context(), Options{Dir: "/data", FS: dying, TailSize: MinTailSize, KeepSize: 1 << 40})
		if all = err == nil && calls < n; all {
			_ = s.Close()
		}
		s = openMem(t, disk.Kill())
		if again, owes := s.Repairing(); !owes || again.Print != owed.Print {
			t.Errorf("killed at call %d (%s): it owed %+v, and now %v %+v: %+v", n, last, owed, owes, again, s.Positions())
		}
	}
}

// TestOtherWALIsMovedAside: other WAL that was taken is not served, and not deleted (ruling R3).
func TestOtherWALIsMovedAside(t *testing.T) {
	disk, _, other := unnoted(t)
	at := openMem(t, disk).Positions().Received
	f, err := disk.Open("/data/diverged/1-0-" + strings.TrimPrefix(at.String(), "0/") + "-other/" + testSeg.FileName(1, testSeg.Segno(at)))
	b := make([]byte, 100_000)
	if err == nil {
		_, err = f.ReadAt(b, 0)
	}
	if err != nil || string(b) != string(other.Bytes(at, at+100_000)) {
		t.Errorf("the other WAL from %s on is gone: %v", at, err)
	}
}

// TestGivenUpDebtIsMovedAside: WAL behind a damaged record is whole. The operator gives up what is owed: that WAL is not
// served any more, and not deleted (ruling R3).
func TestGivenUpDebtIsMovedAside(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+3<<20+300_000 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	store(t, s, g, g.Start())
	disk = disk.Kill()
	begins := testSeg.Floor(g.End())
	name := testSeg.FileName(1, testSeg.Segno(begins))
	flip(disk, "wal/"+name, 100_000)
	s = openMem(t, disk)
	end := s.Positions().Received
	if err := s.GiveUpRepair(); err != nil || end >= begins+100_000 {
		t.Fatalf("the store ends at %s, %v", end, err)
	}
	for path, whole := range map[string]bool{"diverged/1-0-" + strings.TrimPrefix(end.String(), "0/") + "-other/": true, "wal/": false} {
		b := make([]byte, 90_000)
		f, err := disk.Open("/data/" + path + name)
		if err == nil {
			_, err = f.ReadAt(b, 200_000)
		}
		if err != nil || (string(b) == string(g.Bytes(begins+200_000, begins+290_000))) != whole {
			t.Errorf("%s has it: %t, %v", path, !whole, err)
		}
	}
}

// TestMarkTellsWhatIsNotNoted: a mark that was left above a debt says so, and the next one does not. v0.1.0 passes that
// over.
func TestMarkTellsWhatIsNotNoted(t *testing.T) {
	m := sureMark(1, 0x3000060, 0x1000000)
	m.Unnoted = 0x2000060
	file := make([]byte, 2*copyStride)
	var one [markCopyBytes]byte
	encodeMark(&one, 7, m)
	copy(file, one[:])
	if _, got, err := newestMark(file); err != nil || got != m {
		t.Errorf("%+v, %v", got, err)
	}
	if _, payload, err := newestCopy(file, markMagic, markLength); err != nil || decodeMark(payload) != sureMark(1, m.LSN, m.Start) {
		t.Errorf("v0.1.0 reads %v", err)
	}
	m.Unnoted = lsn.Invalid
	encodeMark(&one, 9, m)
	copy(file, one[:])
	if _, got, err := newestMark(file); err != nil || got != m {
		t.Errorf("later: %+v, %v", got, err)
	}
}
