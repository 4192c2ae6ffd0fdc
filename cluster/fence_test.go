package cluster

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestFenceNamesItsSystem: a store that is begun anew for another system votes there. For its own system a promise holds
// for ever, whatever comes between; that of an empty store, and one of which the system is not known, for every one.
func TestFenceNamesItsSystem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	start := func(system lsn.SystemID) *Node {
		store := newFakeStore(100)
		p := store.Positions()
		p.System = system
		store.set(p)
		n, err := New(Options{Name: "a", Rule: vote.RuleText{Names: "ANY 1 (s1)"}, Store: store, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		report(n, n.Attach("s1"), 1, 80)
		return n
	}
	fence := func(n *Node, up lsn.TimelineID) {
		t.Helper()
		if e, err := n.Fence(t.Context(), up); err != nil || e.System != n.o.Store.Positions().System {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	n := start(7)
	wantLimits(t, n, 80, 80, 80)
	fence(n, 2)
	wantLimits(t, n, 0, 0, 0)
	wantLimits(t, start(8), 80, 80, 80)
	wantLimits(t, start(7), 0, 0, 0)
	wantLimits(t, start(0), 0, 0, 0)
	n = start(0)
	moved := n.o.Store.(*fakeStore)
	p := moved.Positions()
	p.System = 8 // it takes WAL of the other system
	moved.set(p)
	report(n, n.Attach("s1"), 1, 80)
	wantLimits(t, n, 80, 80, 80)
	fence(n, 1) // lower than the highest
	wantLimits(t, n, 0, 0, 0)
	wantLimits(t, start(8), 0, 0, 0)
	wantLimits(t, start(9), 80, 80, 80)

	// Release v0.1.0 ran in between: what it was told is not known.
	m := memory(dir)
	was, err := m.load()
	if err != nil || was.Fenced != 2 {
		t.Fatalf("v0.1.0 reads %d, %v", was.Fenced, err)
	}
	was.Boot++
	b, err := encode(was)
	if err != nil || m.save(b) != nil {
		t.Fatal(err)
	}
	wantLimits(t, start(9), 0, 0, 0)
	fence(start(0), 3)
	wantLimits(t, start(9), 0, 0, 0)
	if err := os.WriteFile(filepath.Join(dir, fencesFile), []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, start(10), 0, 0, 0)
}

// TestFenceOfAStoreThatOwes: the promise is made, and its answer says that the end is not known.
func TestFenceOfAStoreThatOwes(t *testing.T) {
	store := newFakeStore(100)
	store.p.Owed = 180
	n := openNode(t, t.TempDir(), "ANY 1 (s1)", store)
	if e, err := n.Fence(t.Context(), 1); err != nil || e.Fenced != 1 || e.Flushed != 100 || e.Owed != 180 {
		t.Errorf("%+v, %v", e, err)
	}
	p := store.Positions()
	p.Received, p.Written, p.Flushed = 200, 200, 200
	store.set(p)
	if e, err := n.Fence(t.Context(), 1); err != nil || e.Flushed != 200 || e.Owed != 0 {
		t.Errorf("paid: %+v, %v", e, err)
	}
}

// TestFencesAreRead: what does not fit the promise, or can't be read, is a promise for every system.
func TestFencesAreRead(t *testing.T) {
	m := memory(filepath.Join(t.TempDir(), "cluster"))
	f := fences{7: 2, 1<<63 + 5: 5, anySystem: 1}
	if err := m.saveFences(44, f); err != nil {
		t.Fatal(err)
	}
	every := func(t lsn.TimelineID) fences { return fences{anySystem: t} }
	for _, c := range []struct {
		boot    uint64
		highest lsn.TimelineID
		want    fences
	}{{44, 5, f}, {45, 5, every(5)}, {44, 6, every(6)}, {44, 4, every(4)}, {44, 0, fences{}}} {
		if got, err := m.fences(c.boot, c.highest); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("boot %d, highest %d: %v, %v", c.boot, c.highest, got, err)
		}
	}
	for _, body := range []string{"", fencesFormat + " 44\n", fencesFormat + " 44\n7 x\n", "#replproxy-fences/2 44\n7 5\n"} {
		if err := m.write(fencesFile, seal([]byte(body))); err != nil {
			t.Fatal(err)
		}
		if got, _ := m.fences(44, 5); !maps.Equal(got, every(5)) {
			t.Errorf("%q is %v", body, got)
		}
	}
}

// TestFenceOfAnEmptiedStore: a node's store was emptied, and begins anew below a fork. The timeline of which it had reported
// WAL may be fenced all the same.
func TestFenceOfAnEmptiedStore(t *testing.T) {
	n, err := New(Options{Name: "a", Store: newFakeStore(100), Dir: filepath.Join(t.TempDir(), "cluster"), Details: func() Details {
		return Details{Timeline: 1, Promised: lsn.Point{Timeline: 3, LSN: 900}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Fenceable(3, 1); err != nil {
		t.Error(err)
	}
	if n.Fenceable(4, 1) == nil {
		t.Error("timeline 4 may be fenced")
	}
}
