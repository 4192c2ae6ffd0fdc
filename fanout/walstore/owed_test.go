package walstore

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestMarkForms: the mark of this release is read by v0.1.0, as one up to which all is durable. A mark that v0.1.0 has
// written is read here, also in a copy of this release. The bytes are those of docs/walstore-format.md.
func TestMarkForms(t *testing.T) {
	m := mark{Timeline: 2, LSN: 0x3000060, Start: 0x1000000, Sure: 0x3000028, Sum: 0x0102030405060708}
	var one [markCopyBytes]byte
	encodeMark(&one, 7, m)
	const more = "RPXK\x02\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00" +
		"\x28\x00\x00\x03\x00\x00\x00\x00\x08\x07\x06\x05\x04\x03\x02\x01"
	if got := string(one[markMoreAt:][:len(more)]); got != more {
		t.Errorf("version 2 is %q", got)
	}
	file := make([]byte, 2*copyStride)
	copy(file[copyStride:], one[:])
	if seq, got, err := newestMark(file); seq != 7 || got != m || err != nil {
		t.Errorf("%d, %+v, %v", seq, got, err)
	}
	seq, payload, err := newestCopy(file, markMagic, markLength) // as v0.1.0 does
	if sure := sureMark(2, m.LSN, m.Start); seq != 7 || err != nil || decodeMark(payload) != sure {
		t.Errorf("v0.1.0 reads %d, %+v, %v", seq, decodeMark(payload), err)
	}
	old := sureMark(2, 0x3000100, m.Start)
	copy(file[copyStride:], appendCopy(nil, markMagic, 9, old.append(nil))) // and as it writes
	if seq, got, err := newestMark(file); seq != 9 || got != old || err != nil {
		t.Errorf("after v0.1.0: %d, %+v, %v", seq, got, err)
	}
	if !m.possible() || (mark{Timeline: 1, LSN: 0x3000000, Start: 0x1000000, Sure: 0x3000028}).possible() {
		t.Error("sure is not held to be at most LSN")
	}
}

// amidAFlush returns a disk on which the mark is ahead: its sync has returned, that of the WAL has not. The WAL up to
// sure is durable, that up to ahead is written. No record ends there.
func amidAFlush(t *testing.T) (disk *vfs.Mem, g *walstoretest.Generator, sure, ahead lsn.LSN) {
	t.Helper()
	disk, g = vfs.NewMem(), newGen()
	s := openMem(t, disk)
	for range 40 {
		g.Record(3000)
	}
	begin(t, s, g)
	sure, ahead = g.Start()+8*lsn.PageSize, g.Start()+10*lsn.PageSize
	appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), sure)})
	drain(t, s)
	appendMessage(t, s, walstoretest.Message{At: sure, Data: g.Bytes(sure, ahead)})
	for s.Positions().Written < s.Positions().Received {
		if _, err := s.writeStep(); err != nil {
			t.Fatal(err)
		}
	}
	steps(t, s.markStep)
	if p := s.Positions(); p.Flushed != sure || s.marked != ahead {
		t.Fatalf("%+v, marked %s, sure %s", p, s.marked, sure)
	}
	return disk, g, sure, ahead
}

// TestOwedAfterPowerLoss: what was being flushed and is not there is owed. It is no damage, is not claimed, outlives a
// power loss at any call of a start, and is paid by the stream.
func TestOwedAfterPowerLoss(t *testing.T) {
	check := func(s *Store, sure, ahead lsn.LSN) lsn.LSN {
		t.Helper()
		r, owes := s.Repairing()
		p := s.Positions()
		if !owes || r.Damage != nil || r.To != ahead || r.From != p.Flushed || p.Flushed < sure || p.Flushed != p.Received ||
			p.Received >= ahead {
			t.Fatalf("owes %+v, %+v; sure %s, ahead %s", r, p, sure, ahead)
		}
		return p.Received
	}
	for stop := 0; ; stop++ { // calls of the file system until the machine stops in a start
		disk, g, sure, ahead := amidAFlush(t)
		disk = disk.Crash(nil)
		fault, left := vfs.NewFault(disk), stop
		fault.Set(func(vfs.Op, string) error {
			if left--; left < 0 {
				return errCut
			}
			return nil
		})
		s, err := Open(t.Context(), Options{Dir: "/data", FS: fault, TailSize: MinTailSize})
		if err == nil {
			_ = s.Close()
		}
		disk = disk.Crash(rand.New(rand.NewPCG(uint64(stop), 1)))
		s = openMem(t, disk)
		at := testSeg.Floor(check(s, sure, ahead))
		start(t, s, 1, at)
		store(t, s, g, at)
		if r, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() {
			t.Fatalf("not paid: %+v, %+v", r, s.Positions())
		}
		s = reopen(t, s, disk)
		if r, owes := s.Repairing(); owes {
			t.Fatalf("owed again: %+v", r)
		}
		readAll(t, s, g, 1, g.Start(), g.End())
		_ = s.Close()
		if err == nil {
			return
		}
	}
}

// TestMarkAheadIsWhole: WAL that is there is not owed, though no record ends with it. Neither is it after kill -9, nor
// with only a part of it lost to another fate: the hash says which.
func TestMarkAheadIsWhole(t *testing.T) {
	disk, g, _, ahead := amidAFlush(t)
	s := openMem(t, disk.Kill())
	if r, owes := s.Repairing(); owes || s.Positions().Flushed != ahead {
		t.Fatalf("owes %+v, %+v, ahead %s", r, s.Positions(), ahead)
	}
	readAll(t, s, g, 1, g.Start(), ahead)
}

// rotBelow changes a byte of g's first segment, more than a page below sure.
func rotBelow(disk *vfs.Mem, g *walstoretest.Generator, sure lsn.LSN) {
	flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(g.Start())), int64(sure-g.Start())-9000)
}

// TestDamageBelowWhatIsSure: a mark that is ahead hides no damage of older WAL.
func TestDamageBelowWhatIsSure(t *testing.T) {
	for _, power := range []bool{false, true} {
		disk, g, sure, ahead := amidAFlush(t)
		if disk = disk.Kill(); power {
			disk = disk.Crash(nil)
		}
		rotBelow(disk, g, sure)
		s := openMem(t, disk)
		if r, owes := s.Repairing(); !owes || r.Damage == nil || r.To != ahead || s.Positions().Received >= sure {
			t.Errorf("power loss %v: owes %+v, %+v; sure %s, ahead %s", power, r, s.Positions(), sure, ahead)
		}
	}
}

// TestOwedIsNoPromise: what was being flushed does not raise the bound of what was reported, which is told to others as
// the end of a record. WAL that was damaged does.
func TestOwedIsNoPromise(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		disk, g, sure, ahead := amidAFlush(t)
		f, err := disk.Create("/data/" + promisedName)
		if err == nil {
			payload := binary.LittleEndian.AppendUint64(nil, uint64(PromisedAll))
			_, err = f.WriteAt(twoCopies(promisedMagic, payload), 0)
		}
		if err = errors.Join(err, f.Sync(), disk.SyncDir("/data")); err != nil {
			t.Fatal(err)
		}
		disk = disk.Crash(nil)
		if damaged {
			rotBelow(disk, g, sure)
		}
		s := openMem(t, disk)
		if at := s.Promised().At; !damaged && at != s.Positions().Received || damaged && at != ahead {
			t.Errorf("damaged %v: promised %s, %+v, ahead %s", damaged, at, s.Positions(), ahead)
		}
	}
}

// TestReplacedWhileOwing: the primary lost power too, and writes another record where the last one that is whole ends.
// That is no other history because of what was being flushed.
func TestReplacedWhileOwing(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	s := openMem(t, disk)
	for range 20 {
		g.Record(3000)
	}
	g.Record(20 * lsn.PageSize)
	begin(t, s, g)
	sure := lastRecord(g, g.End()-1) + 3*lsn.PageSize // within the long record, and so is ahead
	ahead := sure + 2*lsn.PageSize
	appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), sure)})
	drain(t, s)
	appendMessage(t, s, walstoretest.Message{At: sure, Data: g.Bytes(sure, ahead)})
	steps(t, s.writeStep, s.markStep)
	s = openMem(t, disk.Crash(nil))
	p := s.Positions()
	if r, owes := s.Repairing(); !owes || r.To != ahead {
		t.Fatalf("owes %+v", r)
	}
	if p.Complete >= p.Received {
		t.Fatalf("no record was cut: %+v", p)
	}
	again := g.Again(p.Complete)
	again.Fill(ahead+100_000, rand.New(rand.NewPCG(3, 4)))
	if err := take(t, s, again, again.Start(), nil); !errors.As(err, new(*ReplacedError)) {
		t.Fatalf("got %v", err)
	}
	if end, err := s.DropIncomplete(); err != nil || end != p.Complete {
		t.Fatalf("%s, %v", end, err)
	}
	start(t, s, 1, again.Start())
	store(t, s, again, again.Start())
	if r, owes := s.Repairing(); owes || s.Positions().Flushed != again.End() {
		t.Fatalf("owes %+v, %+v", r, s.Positions())
	}
}

// TestPublishedIsFoundAgain: WAL that is written while a sync goes on is not in the mark that is written beside it. The
// position published then is found after a power loss, though no record ends there.
func TestPublishedIsFoundAgain(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	fault := vfs.NewFault(disk)
	s := openMem(t, fault)
	for range 40 {
		g.Record(3000)
	}
	begin(t, s, g)
	first, second := g.Start()+8*lsn.PageSize, g.Start()+10*lsn.PageSize
	appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), first)})
	steps(t, s.writeStep)
	fault.Set(func(op vfs.Op, _ string) error {
		if op == vfs.OpSyncDir { // the WAL's own sync has returned
			fault.Set(nil)
			appendMessage(t, s, walstoretest.Message{At: first, Data: g.Bytes(first, second)})
			steps(t, s.writeStep, s.markStep)
		}
		return nil
	})
	steps(t, s.syncStep)
	told := s.Positions()
	if told.Flushed != first || told.Written != second {
		t.Fatalf("%+v, want %s flushed and %s written", told, first, second)
	}
	s = openMem(t, disk.Crash(nil))
	if r, owes := s.Repairing(); owes || s.Positions().Flushed != first {
		t.Fatalf("told %+v, recovered %+v, owes %+v", told, s.Positions(), r)
	}
}

// TestRetentionKeepsWhatAStartLooksAt: the segment that ends where the mark is sure stays, though all that was published
// since is in the next one.
func TestRetentionKeepsWhatAStartLooksAt(t *testing.T) {
	disk, g := vfs.NewMem(), newGen()
	s := openMem(t, disk, func(o *Options) { o.KeepSize = 0 })
	g.Fill(g.Start()+3<<20, rand.New(rand.NewPCG(7, 8)))
	begin(t, s, g)
	boundary := testSeg.Floor(g.Start()) + 2*lsn.LSN(testSeg)
	sendUpTo(t, s, g, boundary)
	drain(t, s)
	appendMessage(t, s, walstoretest.Message{At: boundary, Data: g.Bytes(boundary, boundary+lsn.PageSize)})
	steps(t, s.writeStep, s.markStep, s.syncStep)
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	told := s.Positions()
	s = openMem(t, disk.Kill())
	if r, owes := s.Repairing(); owes || told.Flushed != boundary+lsn.PageSize || s.Positions().Flushed != told.Flushed {
		t.Fatalf("told %+v, recovered %+v, owes %+v", told, s.Positions(), r)
	}
}
