package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func openNode(t *testing.T, dir, rule string, store Store) *Node {
	t.Helper()
	n, err := New(Options{Name: "proxy", Rule: vote.RuleText{Names: rule}, Store: store, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A node that comes back knows its promise and its rule, and never uses a boot number twice.
func TestRemembers(t *testing.T) {
	dir, store := filepath.Join(t.TempDir(), "cluster"), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	first := n.ledger.State()
	if first.Rule.Generation != 1 || first.Rule.From != 100 || first.Rule.Established {
		t.Errorf("the first rule: %+v", first.Rule)
	}
	report(n, n.Attach("s1"), 1, 100)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	e, err := n.Fence(t.Context(), 1)
	if err != nil || e.Fenced != 1 || e.Flushed != 100 || e.Timeline != 1 {
		t.Fatalf("%+v, %v", e, err)
	}
	wantLimits(t, n, 0, 0, 0)

	n = openNode(t, dir, "ANY 1 (s1)", store) // after kill -9
	if again := n.ledger.State(); again.Boot <= first.Boot || again.Fenced != 1 || again.Rule.Generation != 1 {
		t.Errorf("after a restart: %+v", again)
	}
	report(n, n.Attach("s1"), 1, 100)
	wantLimits(t, n, 0, 0, 0)
	store.move(2, 100) // a promotion
	report(n, n.Attach("s1"), 2, 100)
	wantLimits(t, n, 100, 100, 100)

	n = openNode(t, dir, "ANY 2 (s1, s2)", store)
	if s := n.ledger.State(); s.Rule.Generation != 2 || s.Rule.Before.Names != "ANY 1 (s1)" && !s.Rule.Established {
		t.Errorf("another rule: %+v", s.Rule)
	}
}

// What a new rule covers beyond its beginning is reportable only when that is durable.
func TestEstablishedDurably(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	id := n.Attach("s1")
	store.move(1, 200)
	report(n, id, 1, 200)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	wantLimits(t, n, 200, 200, 200)
	n = openNode(t, dir, "ANY 1 (s2)", store)
	if r := n.ledger.State().Rule; r.Before.Names != "ANY 1 (s1)" || r.From != 200 || r.Established {
		t.Errorf("the rule after a change: %+v", r)
	}
}

// Status has the reportable position, not the one that would be, and why.
func TestStatusWhileEstablishing(t *testing.T) {
	store := newFakeStore(100)
	n := openNode(t, t.TempDir(), "ANY 1 (s1)", store)
	id := n.Attach("s1")
	store.move(1, 200)
	report(n, id, 1, 200)
	s := n.Status()
	if l := s.Levels[flush]; l.Position != 100 || l.Satisfiable || l.Why != string(ledger.Undurable) {
		t.Errorf("%+v", l)
	}
	if len(s.Holds) != 1 || s.Holds[0].Why != ledger.Undurable {
		t.Errorf("holds %+v", s.Holds)
	}
	n.saveKnown()
	s = n.Status()
	if l := s.Levels[flush]; l.Position != 200 || !l.Satisfiable || len(s.Holds) > 0 {
		t.Errorf("%+v, holds %+v", l, s.Holds)
	}
}

// A fork below the beginning of a rule: a dropped rule leaves no trace, so nothing may rest on it there.
func TestForkWhileEstablishing(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	id := n.Attach("s1")
	report(n, id, 1, 50)
	wantLimits(t, n, 50, 50, 50)
	store.move(2, 60)
	report(n, id, 2, 50)
	wantLimits(t, n, 0, 0, 0)
	n.saveKnown()
	wantLimits(t, n, 0, 0, 0) // s1 lacks WAL beyond the fork
	report(n, id, 2, 60)
	wantLimits(t, n, 0, 0, 0)
	n.saveKnown()
	wantLimits(t, n, 60, 60, 60)
	if r := openNode(t, dir, "ANY 1 (s1)", store).ledger.State().Rule; !r.Established {
		t.Errorf("remembered %+v", r)
	}
}

// What a start found damaged may have been reported: a rule begins behind it.
func TestRuleBeginsBehindDamage(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	store.p.Owed = 180
	n := openNode(t, dir, "ANY 1 (s1)", store)
	if r := n.ledger.State().Rule; r.From != 180 {
		t.Errorf("at the start: %+v", r)
	}
	if err := n.SetRule(vote.RuleText{Names: "ANY 1 (s2)"}); err != nil {
		t.Fatal(err)
	}
	if r := n.ledger.State().Rule; r.From != 180 {
		t.Errorf("later: %+v", r)
	}
}

// A fence without a rule withholds as well, and a lower one takes nothing back.
func TestFenceWithoutRule(t *testing.T) {
	n := openNode(t, t.TempDir(), "", newFakeStore(100))
	for _, timeline := range []lsn.TimelineID{3, 1} {
		if e, err := n.Fence(t.Context(), timeline); err != nil || e.Fenced != 3 {
			t.Errorf("fence %d: %+v, %v", timeline, e, err)
		}
	}
	wantLimits(t, n, 0, 0, 0)
}

// Damage is told, not forgotten: a promise may be in it.
func TestDamagedMemory(t *testing.T) {
	dir := t.TempDir()
	openNode(t, dir, "s1", newFakeStore(100))
	path := filepath.Join(dir, memoryFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "short": good[:len(good)-1], "flipped": append([]byte{good[0] ^ 1}, good[1:]...),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Options{Name: "proxy", Store: newFakeStore(100), Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "is damaged: what this node has promised is not known") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A promise that cannot be made durable is not made.
func TestFenceNeedsTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	n := openNode(t, dir, "", newFakeStore(100))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory was
		t.Fatal(err)
	}
	if e, err := n.Fence(t.Context(), 1); err == nil {
		t.Errorf("fenced: %+v", e)
	}
	if f := n.ledger.State().Fenced; f != 0 {
		t.Errorf("fenced up to %d", f)
	}
}

func TestSetRule(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	report(n, n.Attach("s1"), 1, 90)
	wantLimits(t, n, 90, 90, 90)
	if err := n.SetRule(vote.RuleText{Names: "ANY 2 (s1, proxy)"}); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, n, 90, 90, 0)
	if err := n.SetRule(vote.RuleText{Names: "ANY 2 (s1"}); err == nil {
		t.Error("a broken rule was taken")
	}
	wantLimits(t, n, 90, 90, 0)
	if err := n.SetRule(vote.RuleText{}); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, n, 100, 100, 0)
	n.saveKnown()
	wantLimits(t, n, ledger.Max, ledger.Max, 0)
	if s := openNode(t, dir, "", store).ledger.State(); s.Rule.Generation != 3 {
		t.Errorf("remembered %+v", s.Rule)
	}
}

// While nobody saves, the ledger keeps every promise that the disk has: else the next one to save would
// overwrite it.
func TestNothingOverwritesAFence(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, "ANY 1 (s1)", newFakeStore(100))
	durable := make(chan struct{})
	save := n.save
	n.save = func(b []byte) error {
		err := save(b)
		n.mu.Lock() // the promise is durable, and the ledger cannot be told yet
		close(durable)
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := n.Fence(t.Context(), 1)
		ended <- err
	}()
	<-durable
	n.save = save // the ledger lock orders it before whoever saves next
	for range 1000 {
		if n.saving.TryLock() {
			t.Error("somebody else may save although the ledger does not know the promise")
			n.saving.Unlock()
			break
		}
		runtime.Gosched()
	}
	n.mu.Unlock()
	n.saveKnown()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s := openNode(t, dir, "ANY 1 (s1)", newFakeStore(100)).ledger.State(); s.Fenced != 1 {
		t.Errorf("remembered %+v", s)
	}
}

// A fence that has returned is remembered, whatever else was saved meanwhile.
func TestFenceAmongOthers(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		all.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				n.saveKnown()
				if err := n.SetRule(vote.RuleText{Names: fmt.Sprintf("ANY 1 (s%d)", (i+k)%2)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for timeline := lsn.TimelineID(1); timeline < 20; timeline++ {
		if _, err := n.Fence(t.Context(), timeline); err != nil {
			t.Error(err)
		}
		if s, err := memory(dir).load(); err != nil || s.Fenced != timeline {
			t.Errorf("fenced up to %d, remembered %+v, %v", timeline, s, err)
		}
	}
	close(stop)
	all.Wait()
}

// While a new rule is on its way to the disk the one before is in force; but what rests on it is only what the
// new one begins with.
func TestNothingIsGivenBehindTheBeginningOfARule(t *testing.T) {
	store := newFakeStore(100)
	n := openNode(t, t.TempDir(), "ANY 1 (s1)", store)
	id := n.Attach("s1")
	report(n, id, 1, 100)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	save := n.save
	failed := errors.New("no disk")
	n.save = func(b []byte) error {
		store.move(1, 200)
		report(n, id, 1, 200)
		wantLimits(t, n, 100, 100, 100)
		return failed
	}
	if err := n.SetRule(vote.RuleText{Names: "ANY 1 (s2)"}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	wantLimits(t, n, 200, 200, 200) // the one before holds as it did
	n.save = func(b []byte) error {
		store.move(1, 300)
		report(n, id, 1, 300)
		wantLimits(t, n, 200, 200, 200)
		return save(b)
	}
	if err := n.SetRule(vote.RuleText{Names: "ANY 1 (s2)"}); err != nil {
		t.Fatal(err)
	}
	if r := n.ledger.State().Rule; r.From != 200 || r.Before.Names != "ANY 1 (s1)" {
		t.Errorf("%+v", r)
	}
}

// TestSaveThatFailsAndIsThere: after a restart a rule that was refused for the disk begins behind all that the
// one before it gave meanwhile.
func TestSaveThatFailsAndIsThere(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	id := n.Attach("s1")
	report(n, id, 1, 100)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	save := n.save
	n.save = func(b []byte) error { return errors.Join(save(b), errors.New("the directory was not synced")) }
	if err := n.SetRule(vote.RuleText{Names: "ANY 1 (s2)"}); err == nil {
		t.Fatal("no error")
	}
	store.move(1, 200)
	report(n, id, 1, 200)
	wantLimits(t, n, 200, 200, 200)
	n = openNode(t, dir, "ANY 1 (s2)", store)
	if r := n.ledger.State().Rule; r.From != 200 || r.Established || r.Before.Names != "ANY 1 (s1)" {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		store Positions
		t     lsn.TimelineID
		from  lsn.LSN
	}{
		{Positions{}, 1, 200},
		{Positions{Timeline: 1, Received: 150}, 1, 200},
		{Positions{Timeline: 2, Received: 150}, 2, 150},
	} {
		if at, from := beginning(vote.Rule{Timeline: 1, From: 200}, c.store); at != c.t || from != c.from {
			t.Errorf("%+v: %d, %d", c.store, at, from)
		}
	}
}

// TestDroppedRuleLeavesNoTrace: nothing rests on a rule alone that is changed before it has covered its beginning. A
// proof of a promotion hears only of the rule before it and of the one after it.
func TestDroppedRuleLeavesNoTrace(t *testing.T) {
	store := newFakeStore(50)
	n := openNode(t, t.TempDir(), "ANY 2 (s1, s2)", store)
	s1, s2 := n.Attach("s1"), n.Attach("s2")
	report(n, s1, 1, 50)
	report(n, s2, 1, 50)
	wantLimits(t, n, 50, 50, 50)
	n.saveKnown()
	store.move(1, 100)
	report(n, s1, 1, 80)
	wantLimits(t, n, 50, 50, 50)
	if err := n.SetRule(vote.RuleText{Names: "ANY 1 (s1)"}); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, n, 50, 50, 50) // not 80: nobody would know that it rests on s1 alone
	n.saveKnown()
	report(n, s2, 1, 60)
	wantLimits(t, n, 60, 60, 60)
	if err := n.SetRule(vote.RuleText{Names: "ANY 2 (s1, s2)"}); err != nil {
		t.Fatal(err)
	}
	if r := n.ledger.State().Rule; r.Before.Names != "ANY 2 (s1, s2)" || r.Established {
		t.Errorf("%+v", r)
	}
	store.move(1, 200)
	report(n, s1, 1, 200)
	report(n, s2, 1, 200)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	wantLimits(t, n, 200, 200, 200)
}
