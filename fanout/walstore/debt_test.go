package walstore

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestDebtWith: what is owed grows, and what was durable is not forgotten because other WAL is owed as well.
func TestDebtWith(t *testing.T) {
	hole := &DamagedError{LSN: 40}
	print := func(at lsn.LSN) lsn.Print { return lsn.Print{Timeline: 1, LSN: at, Sum: uint64(at)} }
	at := func(l lsn.LSN) mark { return mark{Timeline: 1, LSN: l, Print: print(l - 1)} }
	for name, c := range map[string]struct {
		was     debt
		m       mark
		end     lsn.LSN
		damaged *DamagedError
		want    debt
	}{
		"first, being flushed":     {debt{}, at(90), 80, nil, debt{1, 90, 0, 0, print(89)}},
		"first, damaged":           {debt{}, at(90), 40, hole, debt{1, 90, 90, 40, print(89)}},
		"damage, then a flush":     {debt{1, 90, 90, 40, print(89)}, at(95), 60, nil, debt{1, 95, 90, 40, print(94)}},
		"damage paid, to is not":   {debt{1, 95, 90, 40, print(94)}, at(93), 92, nil, debt{1, 95, 0, 0, print(94)}},
		"a flush, then damage":     {debt{1, 90, 0, 0, print(89)}, at(80), 40, hole, debt{1, 90, 80, 40, print(89)}},
		"damage is found again":    {debt{1, 90, 90, 30, print(89)}, at(80), 40, hole, debt{1, 90, 90, 30, print(89)}},
		"paid, then another":       {debt{1, 90, 90, 40, print(89)}, at(99), 95, nil, debt{1, 99, 0, 0, print(98)}},
		"that of another timeline": {debt{2, 99, 99, 40, print(98)}, at(90), 80, nil, debt{1, 90, 0, 0, print(89)}},
	} {
		got := c.was.with(c.m, c.end, c.damaged)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if again, ok := decodeDebt(got.file()); !ok || again != got {
			t.Errorf("%s: read back as %+v, %v", name, again, ok)
		}
	}
}

// TestDebtForms: v0.1.0 reads what is owed, and what it has written is read here. The bytes are those of
// docs/walstore-format.md.
func TestDebtForms(t *testing.T) {
	d := debt{Timeline: 2, To: 0x3000060, Durable: 0x3000028, Damaged: 0x1000010,
		Print: lsn.Print{Timeline: 2, LSN: 0x3000050, Sum: 0x0102030405060708}}
	file := d.file()
	const durable = "RPXO\x02\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x28\x00\x00\x03\x00\x00\x00\x00"
	const print = "RPXO\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00" +
		"\x50\x00\x00\x03\x00\x00\x00\x00\x08\x07\x06\x05\x04\x03\x02\x01\x02\x00\x00\x00"
	for at, want := range map[int]string{owedMoreAt: durable, printAt: print} {
		if got := string(file[copyStride+at:][:len(want)]); got != want {
			t.Errorf("at %d is %q", at, got)
		}
	}
	_, payload, err := newestCopy(file, owedMagic, markLength)
	if m := decodeMark(payload); err != nil || m.LSN != d.To || m.Start != d.Damaged || m.Timeline != 2 {
		t.Errorf("v0.1.0 reads %+v, %v", m, err)
	}
	for damaged, durable := range map[lsn.LSN]lsn.LSN{0: 0, 0x1000010: 0x3000100} {
		old := twoCopies(owedMagic, mark{Timeline: 2, LSN: 0x3000100, Start: damaged}.append(nil))
		want := debt{Timeline: 2, To: 0x3000100, Durable: durable, Damaged: damaged}
		if got, ok := decodeDebt(old); !ok || got != want {
			t.Errorf("of v0.1.0: %+v, %v; want %+v", got, ok, want)
		}
	}
}

// cutShort returns a disk whose store had flushed and told WAL of g up to told, the end of a record. A part of the segment
// is gone since.
func cutShort(t *testing.T) (disk *vfs.Mem, g *walstoretest.Generator, told lsn.LSN) {
	t.Helper()
	disk, g = vfs.NewMem(), newGen()
	s := openMem(t, disk)
	for range 60 {
		g.Record(3000)
	}
	begin(t, s, g)
	for _, x := range g.Records() {
		if x.End <= g.Start()+12*lsn.PageSize && x.End-x.LSN > 1000 {
			told = x.End
		}
	}
	appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), told)})
	drain(t, s)
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	disk = disk.Kill()
	f, err := disk.Create("/data/wal/" + testSeg.FileName(1, testSeg.Segno(g.Start())))
	if err == nil {
		_, err = f.WriteAt(g.Bytes(g.Start(), g.Start()+4*lsn.PageSize), 0)
	}
	if err = errors.Join(err, f.Sync(), disk.SyncDir("/data/wal")); err != nil {
		t.Fatal(err)
	}
	return disk, g, told
}

// TestDamageOutlivesALaterDebt: WAL that was told is damaged. While it is received again power is lost amid a flush that
// reaches beyond what was told. The next start goes on calling it damage: other records there are another history.
func TestDamageOutlivesALaterDebt(t *testing.T) {
	disk, g, told := cutShort(t)
	s := openMem(t, disk)
	if r, owes := s.Repairing(); !owes || r.Damage == nil || r.To != told || s.Promised().At != told {
		t.Fatalf("%+v %v, promised %+v", r, owes, s.Promised())
	}
	at := testSeg.Floor(s.Positions().Received)
	start(t, s, 1, at)
	below, beyond := told-2*lsn.PageSize, told+2*lsn.PageSize
	appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, below)})
	drain(t, s)
	appendMessage(t, s, walstoretest.Message{At: below, Data: g.Bytes(below, beyond)})
	steps(t, s.writeStep, s.markStep)
	disk = disk.Crash(nil)
	s = openMem(t, disk)
	r, owes := s.Repairing()
	if !owes || r.Damage == nil || r.To < beyond {
		t.Fatalf("WAL up to %s was durable and told, and is owed as %+v", told, r)
	}
	from := s.Positions().Received
	var half lsn.LSN // inside a record below told
	for _, x := range g.Records() {
		if x.LSN >= from && x.LSN < told && x.LSN+100 < x.End {
			half = x.LSN + 200
		}
	}
	at = testSeg.Floor(from)
	start(t, s, 1, at)
	appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, half)})
	drain(t, s)
	s = openMem(t, disk.Kill())
	again := g.Again(s.Positions().Complete)
	again.Fill(beyond+100_000, rand.New(rand.NewPCG(3, 4)))
	if err := take(t, s, again, again.Start(), nil); !errors.As(err, new(*DivergedError)) {
		t.Errorf("other WAL below what was told: %v", err)
	}
}

// TestDamageUnderADebt: WAL is owed that was being flushed, and before it comes WAL below it rots. That is damage, at
// the start after the next one as well.
func TestDamageUnderADebt(t *testing.T) {
	disk, g, sure, _ := amidAFlush(t)
	disk = disk.Crash(nil)
	s := openMem(t, disk)
	if r, owes := s.Repairing(); !owes || r.Damage != nil {
		t.Fatal(r, owes)
	}
	disk = disk.Kill()
	rotBelow(disk, g, sure)
	for start := range 2 {
		s = openMem(t, disk)
		if r, owes := s.Repairing(); !owes || r.Damage == nil || s.Positions().Flushed >= sure {
			t.Errorf("start %d: WAL up to %s was durable, and is owed as %+v", start, sure, r)
		}
		disk = disk.Kill()
	}
}

// TestOwedIsNamed: a store that finds less WAL than the mark says names by a hash what it had. It does after a clean
// stop, after kill -9, and at each start after.
func TestOwedIsNamed(t *testing.T) {
	for _, clean := range []bool{true, false} {
		disk, g := vfs.NewMem(), newGen()
		s := openMem(t, disk)
		g.Fill(g.Start()+3<<20, rand.New(rand.NewPCG(7, 8)))
		begin(t, s, g)
		store(t, s, g, g.Start())
		want := lsn.Print{Timeline: 1, LSN: s.Positions().Complete}
		want.Sum, _ = s.HashAt(1, want.LSN)
		if clean {
			if err := s.closeMark(); err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
		}
		disk = disk.Kill()
		if err := disk.Remove("/data/wal/" + testSeg.FileName(1, testSeg.Segno(want.LSN-1))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s = openMem(t, disk)
			if r, owes := s.Repairing(); !owes || r.Damage == nil || r.Print != want || s.Positions().Received >= want.LSN {
				t.Errorf("clean %v: %+v, want %+v", clean, r, want)
			}
			disk = disk.Kill()
		}
		s = openMem(t, disk)
		receiveAgain(t, s, g)
		if sum, err := s.ReadHash(1, want.LSN); err != nil || sum != want.Sum {
			t.Errorf("received again it has %x, %v", sum, err)
		}
	}
}

// TestOwedIsNamedUnderLoad: more WAL is received before a mark is written, so that the last complete record of all never
// lies below it. Each mark names the last one that does.
func TestOwedIsNamedUnderLoad(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+2<<20 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	all := g.Messages(g.Start(), nil)
	appendMessage(t, s, all[0])
	for _, m := range all[1:] {
		steps(t, s.writeStep)
		appendMessage(t, s, m)
		steps(t, s.markStep, s.syncStep, s.markStep)
		k := s.stages.mark.last
		if want := lastRecord(g, k.LSN); k.Print.LSN != want || k.Print.Sum != sumOf(g, want) || k.LSN == g.Start() {
			t.Fatalf("the mark at %s names %+v, the last record ends at %s", k.LSN, k.Print, want)
		}
	}
}

// TestDebtOnAFullDisk: the note can't be written, so the mark stays where it was. The next start owes the same.
func TestDebtOnAFullDisk(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	s := openMem(t, disk)
	for g.End() < g.Start()+3<<20-100_000 { // no switch, behind which there are zeros
		g.Record(3000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	disk = disk.Kill()
	dropNewest(t, disk, 1)
	var first Repair
	for start := range 2 {
		fault := vfs.NewFault(disk)
		fault.Set(func(op vfs.Op, name string) error {
			if op == vfs.OpWrite && filepath.Ext(name) == vfs.TempSuffix || op == vfs.OpAllocate {
				return syscall.ENOSPC
			}
			return nil
		})
		s = openMem(t, fault)
		r, owes := s.Repairing()
		if !owes || r.Damage == nil || r.Print == (lsn.Print{}) || start > 0 && (r.To != first.To || r.Print != first.Print) {
			t.Fatalf("start %d: %+v, %v; first %+v", start, r, owes, first)
		}
		first, disk = r, disk.Kill()
	}
	s = openMem(t, disk)
	receiveAgain(t, s, g)
	if r, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() {
		t.Fatalf("all of it came: %+v, %v, %+v", r, owes, s.Positions())
	}
}

// TestPromisedNamesWhatIsOwed: the newest segment is lost, and at a later start all of the others. The file promised goes
// on naming what was lost first.
func TestPromisedNamesWhatIsOwed(t *testing.T) {
	for _, amid := range []bool{false, true} { // reports
		disk, g := vfs.NewMem(), newGen()
		s := openMem(t, disk)
		g.Fill(g.Start()+3<<20+300_000, rand.New(rand.NewPCG(7, 8)))
		begin(t, s, g)
		sendUpTo(t, s, g, g.Start()+2<<20)
		drain(t, s)
		if err := s.SetPromised(PromisedAll); err != nil {
			t.Fatal(err)
		}
		for _, m := range g.Messages(g.Start()+2<<20, nil) {
			appendMessage(t, s, m)
		}
		drain(t, s)
		want := s.Positions().Complete
		if !amid {
			if err := s.SetPromised(want); err != nil {
				t.Fatal(err)
			}
		}
		disk = disk.Kill()
		dropNewest(t, disk, 1)
		s = openMem(t, disk)
		if p := s.Promised(); p.Print.LSN != want || p.At < want {
			t.Errorf("amid reports %v: %+v was promised, want the name of %s", amid, p, want)
		}
		disk = disk.Kill()
		dropAll(t, disk)
		s = openMem(t, disk)
		if p := s.Promised(); s.Positions().Timeline != 0 || p.Print.LSN != want || p.Print.Sum != sumOf(g, want) {
			t.Errorf("amid reports %v, emptied: %+v was promised, want the name of %s", amid, p, want)
		}
	}
}

// dropAll removes all that is in the WAL directory.
func dropAll(t *testing.T, disk *vfs.Mem) {
	t.Helper()
	names, err := disk.ReadDir("/data/wal")
	for _, name := range names {
		err = errors.Join(err, disk.Remove("/data/wal/"+name))
	}
	if err != nil {
		t.Fatal(err)
	}
}
