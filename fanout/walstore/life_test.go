package walstore

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestReportedStays: a connection that is new begins to report below what was told on the last one. The end of the process
// must not lose that.
func TestReportedStays(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	s := reporting(t, m, g)
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	p := s.Positions()
	for _, at := range []lsn.LSN{p.Written, p.Flushed + 100} {
		if err := s.Reporting(at); err != nil {
			t.Fatal(err)
		}
	}
	s = openMem(t, m.Kill())
	if at, known := s.reportedInThisLife(); !known || at != (lsn.Point{Timeline: 1, LSN: p.Written}) {
		t.Errorf("%v, %+v, told %s", known, at, p.Written)
	}
}

// TestNoLifeAfterAFailure: a connection that begins while a disk fails notes no life of its own. The next start owes.
func TestNoLifeAfterAFailure(t *testing.T) {
	g, f := newGen(), vfs.NewFault(vfs.NewMem())
	s := reporting(t, f, g)
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	failed := false
	f.Set(func(op vfs.Op, name string) error {
		if op == vfs.OpRename && strings.Contains(name, lifeName) && !failed {
			failed = true
			_ = s.fail(errors.New("input/output error"))
		}
		return nil
	})
	if err := f.Remove(filepath.Join(s.dir, lifeName)); err != nil { // else it is not written again
		t.Fatal(err)
	}
	_ = s.ReportWritten()
	if !failed || s.lifeNoted() {
		t.Errorf("failed %v: the life is noted", failed)
	}
	if err := s.ReportWritten(); err == nil || s.lifeNoted() {
		t.Errorf("%v: it is noted after the failure", err)
	}
}

// TestKilledAmidARecord: what was reported ends amid a record, on which no commit rests. However often the process ends
// then, also once that record was given up for another one, nothing is owed.
func TestKilledAmidARecord(t *testing.T) {
	for name, again := range map[string]bool{"in the same process": false, "in the next one": true} {
		t.Run(name, func(t *testing.T) {
			g, m := newGen(), vfs.NewMem()
			s := reporting(t, m, g)
			whole := s.Positions().Received
			other := g.Again(whole)
			other.Record(3000)
			g.Record(30000)
			for _, msg := range g.Messages(whole, nil) {
				msg.Data = msg.Data[:min(msg.End(), (g.End()-1).PageStart())-msg.At]
				appendMessage(t, s, msg)
				if _, err := s.writeStep(); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Reporting(s.Positions().Written); err != nil {
				t.Fatal(err)
			}
			for i := 0; again && i < 2; i++ {
				m = m.Kill()
				s = openMem(t, m)
				if r, owes := s.Repairing(); owes {
					t.Fatalf("start %d: %+v, the record begins at %s", i, r, whole)
				}
				start(t, s, 1, testSeg.Floor(whole))
			}
			if _, err := s.DropIncomplete(); err != nil {
				t.Fatal(err)
			}
			start(t, s, 1, testSeg.Floor(whole))
			send(t, s, other, testSeg.Floor(whole))
			if err := s.SetPromised(PromisedAll); err != nil {
				t.Fatal(err)
			}
			if err := s.ReportWritten(); err != nil {
				t.Fatal(err)
			}
			if r, owes := openMem(t, m.Kill()).Repairing(); owes {
				t.Errorf("%+v, %s is stored", r, other.End())
			}
		})
	}
}

// apart is a file system whose directories have lives of their own.
type apart struct {
	*vfs.Mem
	lives map[string]string // by the last element of the path
}

func (a apart) Life(dir string) string { return a.lives[filepath.Base(dir)] }

// TestLifeOfTheWAL: the directory of the WAL may be on another volume, which is mounted again by itself.
func TestLifeOfTheWAL(t *testing.T) {
	for wal, owes := range map[string]bool{"w": false, "x": true, "": true} {
		g, m := newGen(), vfs.NewMem()
		s := reporting(t, apart{m, map[string]string{"data": "d", "wal": "w"}}, g)
		g.Record(3000)
		send(t, s, g, s.Positions().Received)
		if err := s.Reporting(s.Positions().Reportable); err != nil {
			t.Fatal(err)
		}
		s = openMem(t, apart{m.Kill(), map[string]string{"data": "d", "wal": wal}})
		if r, is := s.Repairing(); is != owes {
			t.Errorf("%q: owes %v, %+v", wal, is, r)
		}
	}
}

// TestToldWithinTheBound: the primary has said that less was reported than the file tells, or the operator has given the
// rest up. A start takes the lower bound, also in the same life.
func TestToldWithinTheBound(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	s := reporting(t, m, g)
	flushed := s.Positions().Flushed
	g.Record(3000)
	send(t, s, g, flushed)
	if err := s.Reporting(g.End()); err != nil {
		t.Fatal(err)
	}
	m = m.Kill()
	f, err := m.OpenWrite(s.segs.path(s.segs.name(segKey{1, testSeg.Segno(flushed)})))
	if err == nil {
		_, err = f.WriteAt(make([]byte, 3000), testSeg.Offset(flushed)) // the disk has failed unseen
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	s = openMem(t, m)
	if r, _ := s.Repairing(); r.Bound != g.End() {
		t.Fatalf("%+v", r)
	}
	if err := s.PrimaryHas(g.End() - 100); err != nil {
		t.Fatal(err)
	}
	if r, _ := openMem(t, m.Kill()).Repairing(); r.Bound != g.End()-100 {
		t.Errorf("%+v, the primary has %s", r, g.End()-100)
	}
}
