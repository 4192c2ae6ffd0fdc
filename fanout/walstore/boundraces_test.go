package walstore

import (
	"runtime"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// waitsForLock waits until a goroutine waits for a lock in the function of that name.
func waitsForLock(t *testing.T, name string) {
	t.Helper()
	for buf := make([]byte, 1<<20); ; runtime.Gosched() {
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "[sync.Mutex.Lock") && strings.Contains(g, "."+name+"(") {
				return
			}
		}
	}
}

// TestLateBound: who waits for the disk meanwhile raises the bound by the positions that hold then. Older ones would
// lower the bound that reports rest on, or give it to the timeline that was left.
func TestLateBound(t *testing.T) {
	steps := map[string]func(*Store) error{
		"aheadStep":   func(s *Store) error { _, err := s.aheadStep(); return err },
		"SetPromised": func(s *Store) error { return s.SetPromised(PromisedAll) },
	}
	for name, step := range steps {
		for meanwhile, leaves := range map[string]bool{"more is flushed": false, "the timeline is left": true} {
			t.Run(name+": "+meanwhile, func(t *testing.T) { lateBound(t, name, step, leaves) })
		}
	}
}

func lateBound(t *testing.T, name string, step func(*Store) error, leaves bool) {
	g := newGen()
	s := reporting(t, vfs.NewMem(), g)
	for range raiseBelow>>20 + 1 {
		g.Record(1 << 20)
	}
	store(t, s, g, s.Positions().Received)
	s.promised.mu.Lock()
	done := make(chan error)
	go func() { done <- step(s) }()
	waitsForLock(t, name)
	if leaves {
		fork := s.Positions().Received
		if err := s.PutHistory(2, g.Fork(fork, 2).HistoryFile()); err != nil {
			t.Fatal(err)
		}
		start(t, s, 2, testSeg.Floor(fork))
	} else {
		g.Record(1 << 20)
		store(t, s, g, s.Positions().Received)
	}
	s.promised.mu.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if is, p := s.Promised(), s.Positions(); is.Timeline != p.Timeline || is.Owes != p.Flushed+reportAhead {
		t.Errorf("up to %s of timeline %d, the store is at %+v", is.Owes, is.Timeline, p)
	}
}

// TestGivenUpMeanwhile: the operator's word is carried out while the primary's answer waits for the disk. Nothing is owed.
func TestGivenUpMeanwhile(t *testing.T) {
	g, m := newGen(), vfs.NewMem()
	reporting(t, m, g)
	m = m.Crash(nil)
	s := openMem(t, m)
	s.promised.mu.Lock()
	done := make(chan error)
	go func() { done <- s.PrimaryHas(g.End() + 1000) }()
	waitsForLock(t, "PrimaryHas")
	if s.dropRepair() == nil {
		t.Fatal("nothing is owed")
	}
	next := s.promised.now
	next.Owes = lsn.Invalid
	if err := s.savePromise(next); err != nil {
		t.Fatal(err)
	}
	s.promised.mu.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r, owes := openMem(t, m.Kill()).Repairing(); owes {
		t.Errorf("%+v", r)
	}
}
