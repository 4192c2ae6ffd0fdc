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

// lostNewest returns a store that had all of g's WAL, some records more than two segments, and owes the newest n.
func lostNewest(t *testing.T, n int) (*Store, *vfs.Mem, *walstoretest.Generator) {
	t.Helper()
	disk, g := vfs.NewMem(), newGen()
	for g.End() < g.Start()+2<<20+300_000 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	store(t, s, g, g.Start())
	disk = disk.Kill()
	dropNewest(t, disk, n)
	return openMem(t, disk), disk, g
}

// others returns WAL that parts from g's in the middle of its last segment.
func others(g *walstoretest.Generator, rnd *rand.Rand) *walstoretest.Generator {
	at := lastRecord(g, g.Source.SegSize.Floor(g.End())+150_000)
	x := g.Again(at)
	x.Fill(g.End()+1<<20, rnd)
	return x
}

// take sends g's WAL from at on, in messages of random size, until an error or g's end.
func take(t *testing.T, s *Store, g *walstoretest.Generator, at lsn.LSN, each func()) (err error) {
	t.Helper()
	start(t, s, 1, at)
	for _, m := range g.Messages(at, nil) {
		if err = s.AppendFrom(t.Context(), m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
			return err
		}
		if each != nil {
			each()
		}
	}
	return nil
}

// TestOwedIsHeldBack: other WAL in the place of what is owed is neither stored nor read by anybody. The right WAL is
// taken afterwards, as if nothing had come, also from where a stream was cut.
func TestOwedIsHeldBack(t *testing.T) {
	for n := 1; n <= 2; n++ {
		s, disk, g := lostNewest(t, n)
		before := s.Positions()
		wrong := others(g, rand.New(rand.NewPCG(1, 2)))
		at := testSeg.Floor(before.Received)
		for range 2 {
			var d *DivergedError
			if err := take(t, s, wrong, at, func() { drain(t, s) }); !errors.As(err, &d) || d.LSN != before.Received {
				t.Fatalf("%d gone: %v", n, err)
			}
			if p := s.Positions(); p != before {
				t.Fatalf("%d gone: %+v, before %+v", n, p, before)
			}
			start(t, s, 1, at)
			half := walstoretest.Message{At: at, Data: g.Bytes(at, before.Received+50_000)}
			if appendMessage(t, s, half); s.HeldOwed() != before.Received+50_000 { // a cut
				t.Errorf("%d gone: held up to %s", n, s.HeldOwed())
			}
		}
		if r, owes := s.Repairing(); !owes || s.Positions() != before {
			t.Fatalf("%d gone: %+v", n, r)
		}
		if err := take(t, s, g, at, nil); err != nil {
			t.Fatalf("%d gone: the right one: %v", n, err)
		}
		drain(t, s)
		if r, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() || s.HeldOwed() != lsn.Invalid {
			t.Fatalf("%d gone: %+v, %+v", n, r, s.Positions())
		}
		readAll(t, s, g, 1, at, g.End())
		if sum, err := s.ReadHash(1, lastRecord(g, g.End())); err != nil || sum != sumOf(g, lastRecord(g, g.End())) {
			t.Errorf("%d gone: hashed wrong: %v", n, err)
		}
		if all := s.Sealed(0); len(all) > 3 {
			t.Errorf("%d gone: %d digests of two segments: %+v", n, len(all), all)
		}
		s = reopen(t, s, disk)
		readAll(t, s, g, 1, at, g.End())
	}
}

// TestOwedBeyondTheTail: more is owed than the tail has room for. It is taken as it comes, and other WAL is refused where
// the debt names a record at the latest.
func TestOwedBeyondTheTail(t *testing.T) {
	const size = lsn.SegSize(16 << 20)
	disk, g := vfs.NewMem(), walstoretest.New(walstoretest.Config{SegSize: size})
	for g.End() < g.Start()+24<<20 {
		g.Record(3000)
	}
	s := openMem(t, disk)
	begin(t, s, g)
	for _, m := range g.Messages(g.Start(), nil) {
		appendMessage(t, s, m)
		drain(t, s)
	}
	disk = disk.Kill()
	dropNewest(t, disk, 1)
	s = openMem(t, disk)
	before := s.Positions()
	var d *DivergedError
	err := take(t, s, others(g, rand.New(rand.NewPCG(1, 2))), size.Floor(before.Received), func() { drain(t, s) })
	if p := s.Positions(); !errors.As(err, &d) || p.Received <= before.Received || p.Received > g.End() {
		t.Errorf("%v: %+v, before %+v", err, p, before)
	}
}

// TestForkWithinWhatIsOwed: the server left the timeline between the store's end and the named record. What it sends up to
// there is taken when the timeline has ended, and the next one goes on.
func TestForkWithinWhatIsOwed(t *testing.T) {
	s, _, g := lostNewest(t, 1)
	p := s.Positions()
	r, _ := s.Repairing()
	fork := lastRecord(g, p.Received+150_000)
	if fork <= p.Received || fork >= r.Print.LSN {
		t.Fatalf("fork %s, have %+v, owes %+v", fork, p, r)
	}
	old := testSeg.Floor(p.Received)
	start(t, s, 1, old)
	for at := old; at < fork; at += min(fork-at, 50_000) {
		appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, at+min(fork-at, 50_000))})
	}
	drain(t, s)
	if s.Positions() != p {
		t.Fatalf("not held back: %+v", s.Positions())
	}
	if err := s.EndHold(); err != nil || s.Positions().Received != fork {
		t.Fatalf("the timeline ended at %s, received is %s: %v", fork, s.Positions().Received, err)
	}
	x := g.Fork(fork, 2)
	for range 50 {
		x.Record(3000)
	}
	putHistory(t, s, x)
	start(t, s, 2, testSeg.Floor(fork))
	store(t, s, x, testSeg.Floor(fork))
	if _, owes := s.Repairing(); owes || s.Positions().Flushed != x.End() {
		t.Errorf("%+v, owes %v", s.Positions(), owes)
	}
	readAll(t, s, x, 2, testSeg.Floor(fork), x.End())
}

// TestGivenUpIsNotHeldBack: the operator has given up what is owed when the stream has begun. What comes is the primary's.
func TestGivenUpIsNotHeldBack(t *testing.T) {
	s, _, g := lostNewest(t, 1)
	p := s.Positions()
	at := testSeg.Floor(p.Received)
	start(t, s, 1, at)
	if err := s.GiveUpRepair(); err != nil {
		t.Fatal(err)
	}
	end := lastRecord(g, p.Received+150_000)
	appendMessage(t, s, walstoretest.Message{At: at, Data: g.Bytes(at, end)})
	drain(t, s)
	if got := s.Positions(); got.Flushed != end {
		t.Errorf("WAL came up to %s, flushed is %s", end, got.Flushed)
	}
}

// TestOwedFromAnArchive: a segment from an archive with other WAL is refused whole, and the right one is taken then.
func TestOwedFromAnArchive(t *testing.T) {
	s, _, g := lostNewest(t, 1)
	p := s.Positions()
	x := g.Again(lastRecord(g, p.Received+150_000))
	for _, w := range []*walstoretest.Generator{x, g} {
		for w.End() < testSeg.Floor(p.Received)+lsn.LSN(testSeg)+1 {
			w.Record(3100)
		}
	}
	n, _ := s.NextSegment()
	var d *DivergedError
	if err := s.AppendSegment(t.Context(), n, bytes.NewReader(x.Bytes(n.Start, n.End))); !errors.As(err, &d) || s.Positions() != p {
		t.Fatalf("%v, %+v", err, s.Positions())
	}
	if err := s.AppendSegment(t.Context(), n, bytes.NewReader(g.Bytes(n.Start, n.End))); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	if _, owes := s.Repairing(); owes || s.Positions().Flushed != n.End {
		t.Errorf("%+v, owes %v", s.Positions(), owes)
	}
}

// takeOther has s take other WAL from at on, in the place of g's. A switch ends it behind the next record.
func takeOther(t *testing.T, s *Store, g *walstoretest.Generator, at lsn.LSN) {
	t.Helper()
	x := g.Again(lastRecord(g, at+100_000))
	x.Record(3000)
	end := x.Switch().End
	start(t, s, 1, at)
	s.in.hold = lsn.Invalid // as with a small tail
	appendMessage(t, s, walstoretest.Message{At: at, Data: x.Bytes(at, end)})
}

// TestOtherWALIsNoPayment: where nothing could be held back other WAL was taken, and a switch ends it beyond the named
// record. The next start goes on owing, and takes the right WAL.
func TestOtherWALIsNoPayment(t *testing.T) {
	s, disk, g := lostNewest(t, 1)
	r, _ := s.Repairing()
	at := testSeg.Floor(s.Positions().Received)
	takeOther(t, s, g, at)
	drain(t, s)
	for range 2 {
		s = openMem(t, disk.Kill())
		again, owes := s.Repairing()
		if !owes || again.To < r.To || again.Print != r.Print || s.Positions().Received > at {
			t.Fatalf("%+v, %v, %+v; it owed %+v", s.Positions(), owes, again, r)
		}
		disk = disk.Kill()
	}
	s = openMem(t, disk)
	if err := take(t, s, g, at, nil); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	if _, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() {
		t.Errorf("%+v, owes %v", s.Positions(), owes)
	}
}

// TestWALThatCameDamaged: a record was damaged on its way, and whole ones followed it. A start finds that, and the debt
// names no bytes that no server has: the right WAL is taken. Where the disk did it, they are the primary's and are named.
func TestWALThatCameDamaged(t *testing.T) {
	for _, disk := range []bool{false, true} {
		mem, g := vfs.NewMem(), newGen()
		for g.End() < g.Start()+2<<20+300_000 {
			g.Record(3000)
		}
		sent, bad := g.Again(g.End()), g.Start()+2<<20+100_000
		if !disk {
			sent.Bytes(bad, bad+1)[0] ^= 0x40
		}
		s := openMem(t, mem)
		begin(t, s, g)
		give(t, s, sent, g.Start(), g.End())
		if err := s.closeMark(); err != nil {
			t.Fatal(err)
		}
		mem = mem.Kill()
		if disk {
			flip(mem, "wal/"+testSeg.FileName(1, testSeg.Segno(bad)), testSeg.Offset(bad))
		}
		for range 2 {
			s = openMem(t, mem)
			r, owes := s.Repairing()
			if !owes || r.Damage == nil || (r.Print.LSN > s.Positions().Received) != disk {
				t.Fatalf("damaged by the disk %v: owes %v %+v, has %+v", disk, owes, r, s.Positions())
			}
			mem = mem.Kill()
		}
		s = openMem(t, mem)
		if err := take(t, s, g, testSeg.Floor(s.Positions().Received), nil); err != nil {
			t.Fatalf("damaged by the disk %v: %v", disk, err)
		}
		drain(t, s)
		if _, owes := s.Repairing(); owes || s.Positions().Flushed != g.End() {
			t.Errorf("damaged by the disk %v: %+v, owes %v", disk, s.Positions(), owes)
		}
	}
}

// TestOtherWALAndDamage: other WAL was taken, as above, and the segment before has rotted. Each start finds both, owes what
// it owed, and goes back to where both are right.
func TestOtherWALAndDamage(t *testing.T) {
	s, disk, g := lostNewest(t, 1)
	r, _ := s.Repairing()
	at := testSeg.Floor(s.Positions().Received)
	takeOther(t, s, g, at)
	drain(t, s)
	_ = s.closeMark()
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	disk = disk.Kill()
	flip(disk, "wal/"+testSeg.FileName(1, testSeg.Segno(at-1)), 100_000)
	for range 2 {
		s = openMem(t, disk)
		if again, owes := s.Repairing(); !owes || again.Print != r.Print {
			t.Errorf("owes %+v, it owed %+v", again, r)
		}
		_ = s.Close()
		disk = disk.Kill()
	}
}

// TestOtherWALIsNotServed: other WAL was taken, a start goes back behind it, and the right WAL comes. Who reads it gets
// that, and not what the start has read: the file is another one.
func TestOtherWALIsNotServed(t *testing.T) {
	s, disk, g := lostNewest(t, 1)
	at := testSeg.Floor(s.Positions().Received)
	takeOther(t, s, g, at)
	drain(t, s)
	s = openMem(t, disk.Kill())
	if err := s.housekeepingStep(); err != nil { // a spare is there
		t.Fatal(err)
	}
	for g.End() < at+8<<20 {
		g.Record(3000)
	}
	give(t, s, g, s.Positions().Received, g.End())
	readAll(t, s, g, 1, at, at+lsn.LSN(testSeg))
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, g, 1, at, at+lsn.LSN(testSeg))
}

// TestOtherWALAndNoNote: other WAL was taken, and the debt could not be noted. The mark says what it said, and the next
// start finds that what is stored is not what it names.
func TestOtherWALAndNoNote(t *testing.T) {
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
	takeOther(t, s, g, at)
	if err := s.drain(); !errors.Is(err, errNoSpace) {
		t.Fatal(err)
	}
	s = openMem(t, disk.Kill())
	if again, owes := s.Repairing(); !owes || again.Print != owed.Print {
		t.Errorf("it owed %+v, and now %v %+v: %+v", owed, owes, again, s.Positions())
	}
}
