package walstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestPowerLossAtEveryCall: power is lost at every call that a store makes which reports what is written. It owes
// whenever its end is below a record that was reported, and as much.
func TestPowerLossAtEveryCall(t *testing.T) {
	owed, cuts := 0, 0
	for cut := 0; ; cut++ {
		m := vfs.NewMem()
		complete, calls, err := reportedUntil(m, cut)
		if calls < cut {
			if err != nil {
				t.Fatalf("without a cut: %v", err)
			}
			break
		}
		cuts++
		for i, dice := range []*rand.Rand{nil, rand.New(rand.NewPCG(uint64(cut), 1)), rand.New(rand.NewPCG(uint64(cut), 2))} {
			s, err := Open(context.Background(), Options{Dir: "/data", FS: m.Kill().Crash(dice), TailSize: MinTailSize, KeepSize: 1 << 40})
			if err != nil {
				t.Fatalf("call %d, dice %d: %v", cut, i, err)
			}
			r, owes := s.Repairing()
			if end := s.Positions().Received; end < complete && (!owes || r.Bound < complete) {
				t.Errorf("call %d, dice %d: told %s, the store ends at %s and owes %v up to %s", cut, i, complete, end, owes, r.Bound)
			} else if end < complete {
				owed++
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cuts < 30 || owed < 10 {
		t.Errorf("%d calls, %d starts below what was reported: this proves little", cuts, owed)
	}
}

// reportedUntil plays a life over m until a call. It returns the end of the last record that was reported, and the number
// of calls.
func reportedUntil(m *vfs.Mem, cut int) (complete lsn.LSN, calls int, err error) {
	f := vfs.NewFault(m)
	f.Set(func(vfs.Op, string) error {
		if calls++; calls > cut {
			return errCut
		}
		return nil
	})
	s, err := Open(context.Background(), Options{Dir: "/data", FS: f, TailSize: MinTailSize, KeepSize: 1 << 40})
	if err != nil {
		return 0, calls, err
	}
	g := newGen()
	do := func(step func() error) {
		if err == nil {
			err = step()
		}
	}
	take := func(size int) {
		at := g.End()
		if g.Record(size); at == g.Start() {
			at = g.Start()
		}
		for _, x := range g.Messages(max(at, s.Positions().Received), nil) {
			do(func() error {
				return s.AppendFrom(context.Background(), x.At, strings.NewReader(string(x.Data)), len(x.Data))
			})
			do(func() error { _, err := s.writeStep(); return err })
		}
	}
	do(func() error { return s.Adopt(identityOf(g)) })
	do(func() error { return s.StartStream(1, g.Start()) })
	take(3000)
	do(func() error { return s.SetPromised(PromisedAll) })
	do(s.ReportWritten)
	for i := range 6 {
		take(3000 + i)
		do(func() error { return s.Reporting(s.Positions().Reportable) })
		if err == nil {
			complete, err = s.LastComplete(1, s.Positions().Reportable)
		}
		switch i {
		case 1, 4:
			do(s.drain)
			do(func() error { _, err := s.aheadStep(); return err })
		case 2:
			do(func() error { return s.SetPromised(s.Positions().Reportable) })
			do(func() error { return s.SetPromised(PromisedAll) })
		}
	}
	return complete, calls, err
}

// elsewhere is a file system whose life is another one, or not known.
type elsewhere struct {
	*vfs.Mem
	life string
}

func (e elsewhere) Life(string) string { return e.life }

// TestLifeThatIsNotKnown: what was reported is owed where the boot or the mount is another one, or not known, now or
// when it was reported.
func TestLifeThatIsNotKnown(t *testing.T) {
	for _, c := range []struct {
		then, now string
		owes      bool
	}{{"a", "a", false}, {"a", "b", true}, {"a", "", true}, {"", "a", true}, {"", "", true}, {"a", "a b", true}, {"a b", "a", true}} {
		t.Run(fmt.Sprintf("%q, %q", c.then, c.now), func(t *testing.T) {
			g, m := newGen(), vfs.NewMem()
			s := reporting(t, elsewhere{m, c.then}, g)
			flushed := s.Positions().Flushed
			g.Record(3000)
			send(t, s, g, flushed)
			if err := s.Reporting(s.Positions().Reportable); err != nil {
				t.Fatal(err)
			}
			s = openMem(t, elsewhere{m.Kill(), c.now})
			if r, owes := s.Repairing(); owes != c.owes || owes && r.Bound != flushed+reportAhead {
				t.Errorf("owes %v: %+v", owes, r)
			}
		})
	}
}

// TestPagesThatAreGone: the life is the same, and WAL that was reported is not there any more, as after an error of the
// disk that nobody was told of. It is owed.
func TestPagesThatAreGone(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	s := reporting(t, m, g)
	flushed := s.Positions().Flushed
	g.Record(3000)
	g.Record(3000)
	send(t, s, g, flushed)
	if err := s.Reporting(s.Positions().Reportable); err != nil {
		t.Fatal(err)
	}
	m = m.Kill()
	f, err := m.OpenWrite(s.segs.path(s.segs.name(segKey{1, testSeg.Segno(flushed)})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 6000), testSeg.Offset(flushed)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if r, owes := openMem(t, m).Repairing(); !owes || r.Bound != g.End() {
		t.Errorf("owes %v: %+v, reported %s", owes, r, g.End())
	}
}

// TestNothingIsPaidForWhatIsOff: without ReportWritten no file says in which life WAL is reported, no bound is kept and
// none is raised.
func TestNothingIsPaidForWhatIsOff(t *testing.T) {
	g, f := newGen(), vfs.NewFault(vfs.NewMem())
	promises := 0
	f.Set(func(op vfs.Op, name string) error {
		switch {
		case strings.HasSuffix(name, "/"+lifeName):
			return errors.New("the life is looked at")
		case op == vfs.OpSync && strings.Contains(name, promisedName):
			promises++
		}
		return nil
	})
	s := openMem(t, f)
	begin(t, s, g)
	g.Record(3000)
	store(t, s, g, s.Positions().Received)
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	once := promises
	for range reportAhead/(1<<20) + 2 {
		g.Record(1 << 20)
	}
	store(t, s, g, s.Positions().Received)
	steps(t, s.aheadStep)
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	if p := s.Positions(); p.Reportable != p.Flushed || p.Written == p.Flushed {
		t.Errorf("%+v", p)
	}
	if p := s.Promised(); p.Owes != lsn.Invalid || promises != once {
		t.Errorf("%+v, written %d times, and %d before", p, promises, once)
	}
}
