package walstore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// reporting returns a store that has WAL, some of it flushed, and reports what is written.
func reporting(t *testing.T, fsys FS, g *walstoretest.Generator) *Store {
	t.Helper()
	s := openMem(t, fsys)
	begin(t, s, g)
	g.Record(3000)
	store(t, s, g, s.Positions().Received)
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	if err := s.ReportWritten(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReportable: what is written may be reported as soon as the bound is durable, and no further than 16 MB beyond what
// is flushed. The flusher raises the bound.
func TestReportable(t *testing.T) {
	g := newGen()
	s := reporting(t, vfs.NewMem(), g)
	flushed := s.Positions().Flushed
	for range reportAhead/(1<<20) + 2 {
		g.Record(1 << 20)
	}
	send(t, s, g, flushed)
	p := s.Positions()
	if want := flushed + reportAhead; p.Flushed != flushed || p.Written <= want || p.Reportable != want {
		t.Errorf("%+v: want reports up to %s", p, want)
	}
	drain(t, s)
	steps(t, s.aheadStep)
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	if p := s.Positions(); p.Reportable != p.Written || p.Written == p.Flushed {
		t.Errorf("after a flush: %+v", p)
	}
	s.ReportFlushed()
	if p := s.Positions(); p.Reportable != p.Flushed || p.Written == p.Flushed {
		t.Errorf("when it has ended: %+v", p)
	}
}

// TestNothingReportableBeforeTheBound: an exact promise, or one that could not be written, keeps reports where WAL is
// flushed.
func TestNothingReportableBeforeTheBound(t *testing.T) {
	g, fault := newGen(), vfs.NewFault(vfs.NewMem())
	s := reporting(t, fault, g)
	more := func() Positions {
		g.Record(3000)
		send(t, s, g, s.Positions().Received)
		return s.Positions()
	}
	if err := s.SetPromised(s.Positions().Flushed); err != nil { // reports stand still
		t.Fatal(err)
	}
	if p := more(); p.Reportable != p.Flushed {
		t.Errorf("beyond an exact promise: %+v", p)
	}
	fault.Set(func(op vfs.Op, name string) error {
		if op == vfs.OpSync && strings.Contains(name, promisedName) {
			return errors.New("no")
		}
		return nil
	})
	if err := s.SetPromised(PromisedAll); err == nil {
		t.Fatal("it could be made durable")
	}
	if p := more(); p.Reportable != p.Flushed {
		t.Errorf("beyond a bound that is not durable: %+v", p)
	}
	fault.Set(nil)
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	if p := more(); p.Reportable != p.Written {
		t.Errorf("%+v", p)
	}
}

// TestOwesWhatWasReported: only a start that knows that nothing written was lost has an end of its own.
func TestOwesWhatWasReported(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *Store, m *vfs.Mem, f *vfs.Fault) *vfs.Mem
		owes bool
	}{
		"kill -9": {func(_ *Store, m *vfs.Mem, _ *vfs.Fault) *vfs.Mem { return m.Kill() }, false},
		"clean stop": {func(s *Store, m *vfs.Mem, _ *vfs.Fault) *vfs.Mem {
			stopped, stop := context.WithCancel(context.Background())
			stop()
			if err := s.Run(stopped); err != nil {
				t.Fatal(err)
			}
			return m.Crash(nil)
		}, false},
		"power loss":               {func(_ *Store, m *vfs.Mem, _ *vfs.Fault) *vfs.Mem { return m.Crash(nil) }, true},
		"power loss after kill -9": {func(_ *Store, m *vfs.Mem, _ *vfs.Fault) *vfs.Mem { return m.Kill().Crash(nil) }, true},
		"a sync failed, then kill -9": {func(s *Store, m *vfs.Mem, f *vfs.Fault) *vfs.Mem {
			f.Set(func(op vfs.Op, _ string) error {
				if op == vfs.OpSync {
					return errors.New("input/output error")
				}
				return nil
			})
			if err := s.Run(context.Background()); err == nil {
				t.Error("no error")
			}
			return m.Kill()
		}, true},
		"the start before failed": {func(_ *Store, m *vfs.Mem, _ *vfs.Fault) *vfs.Mem {
			m = m.Kill()
			f := vfs.NewFault(m)
			f.Set(func(op vfs.Op, _ string) error {
				if op == vfs.OpSync {
					return errors.New("input/output error")
				}
				return nil
			})
			if s, err := Open(context.Background(), Options{Dir: "/data", FS: f}); err == nil {
				t.Error("no error", s.Close())
			}
			return m.Kill()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g, m := newGen(), vfs.NewMem()
			f := vfs.NewFault(m)
			s := reporting(t, f, g)
			flushed := s.Positions().Flushed
			g.Record(3000)
			send(t, s, g, flushed)
			m = c.end(s, m, f)
			s = openMem(t, m)
			r, owes := s.Repairing()
			if owes != c.owes || owes && (r.Bound != flushed+reportAhead || r.To != r.Bound || r.Damage != nil) {
				t.Fatalf("owes %v: %+v, flushed was %s", owes, r, flushed)
			}
			if !owes {
				return
			}
			if at := s.Promised().At; at != r.Bound { // and so it is when that is paid
				t.Errorf("%s is promised", at)
			}
			if err := s.ReportWritten(); !errors.Is(err, ErrOwing) {
				t.Errorf("it reports written WAL: %v", err)
			}
			for _, at := range []lsn.LSN{0, flushed - 1, flushed} { // a narrower promise takes nothing of it away
				if err := s.SetPromised(at); err != nil {
					t.Fatal(err)
				}
			}
			s = openMem(t, m.Kill())
			if again, _ := s.Repairing(); again.Bound != r.Bound {
				t.Errorf("after a restart: %+v, before %+v", again, r)
			}
		})
	}
}

// TestPrimaryHas: what the primary has says how much was reported at most. It is paid when that is flushed.
func TestPrimaryHas(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	s := reporting(t, m, g)
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	end := g.End()
	m = m.Crash(nil)
	s = openMem(t, m)
	was, _ := s.Repairing()
	if err := s.PrimaryHas(was.Bound + 1); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Repairing(); r != was {
		t.Errorf("more than the bound: %+v", r)
	}
	if err := s.PrimaryHas(end); err != nil {
		t.Fatal(err)
	}
	if r, owes := s.Repairing(); !owes || r.To != end || r.Bound != end {
		t.Errorf("%v, %+v, the primary has %s", owes, r, end)
	}
	again := openMem(t, m.Kill())
	if r, owes := again.Repairing(); !owes || r.To != end {
		t.Errorf("after a restart: %v, %+v", owes, r)
	}
	m = m.Kill()
	s = openMem(t, m.Kill())
	receiveAgain(t, s, g)
	if r, owes := s.Repairing(); owes {
		t.Errorf("all is flushed, and it owes %+v", r)
	}
	if err := s.ReportWritten(); err != nil {
		t.Error(err)
	}
}

// TestWrittenGivenUp: an operator's word, or a timeline that is followed, ends what is owed for having been reported,
// over a restart too.
func TestWrittenGivenUp(t *testing.T) {
	owing := func() (*Store, *vfs.Mem, *walstoretest.Generator) {
		g, m := newGen(), vfs.NewMem()
		reporting(t, m, g)
		m = m.Crash(nil)
		s := openMem(t, m)
		if _, owes := s.Repairing(); !owes {
			t.Fatal("nothing is owed")
		}
		return s, m, g
	}
	s, m, _ := owing()
	if err := s.GiveUpRepair(); err != nil {
		t.Fatal(err)
	}
	if r, owes := openMem(t, m.Kill()).Repairing(); owes {
		t.Errorf("given up, and owed: %+v", r)
	}
	s, m, g := owing()
	fork := s.Positions().Received
	next := g.Fork(fork, 2)
	if err := s.PutHistory(2, next.HistoryFile()); err != nil {
		t.Fatal(err)
	}
	start(t, s, 2, testSeg.Floor(fork))
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*vfs.Mem{m.Crash(nil)} {
		if r, owes := openMem(t, m).Repairing(); owes {
			t.Errorf("left behind, and owed: %+v", r)
		}
	}
}

// TestBoundOfANewTimeline: the bound of the timeline before says nothing of the one that is followed.
func TestBoundOfANewTimeline(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	s := reporting(t, m, g)
	fork := s.Positions().Received
	next := g.Fork(fork, 2)
	if err := s.PutHistory(2, next.HistoryFile()); err != nil {
		t.Fatal(err)
	}
	start(t, s, 2, testSeg.Floor(fork))
	next.Record(3000)
	send(t, s, next, testSeg.Floor(fork))
	if p := s.Positions(); p.Reportable != p.Flushed {
		t.Errorf("by the bound of another timeline: %+v", p)
	}
	steps(t, s.aheadStep)
	if p := s.Positions(); p.Reportable != p.Written {
		t.Fatalf("%+v", p)
	}
	s = openMem(t, m.Crash(nil))
	if r, owes := s.Repairing(); !owes || r.Bound != fork+reportAhead {
		t.Errorf("%v, %+v", owes, r)
	}
}
