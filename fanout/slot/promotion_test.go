package slot

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/slot/shared"
)

// What a slot holds of xmin was said to one primary: another one is told only what a session has said since.
func TestXminBelongsToOnePrimary(t *testing.T) {
	table := open(t, t.TempDir(), 0)
	guards := map[string]*Guard{}
	for _, name := range []string{"gone", "silent", "stays"} {
		if err := create(table, name, false, 100, 1); err != nil {
			t.Fatal(err)
		}
		g, err := acquire(table, name, 7)
		if err != nil {
			t.Fatal(err)
		}
		g.SetXmin(10, 20)
		guards[name] = g
	}
	expect := func(when, name string, xmin, catalog uint64) {
		t.Helper()
		if i, _ := table.Read(name); uint64(i.Xmin) != xmin || uint64(i.CatalogXmin) != catalog {
			t.Errorf("%s: %s holds %d and %d, expected %d and %d", when, name, i.Xmin, i.CatalogXmin, xmin, catalog)
		}
	}
	guards["gone"].Release()
	table.Switched()
	expect("switched", "gone", 0, 20)
	expect("switched, attached", "silent", 10, 20)
	guards["stays"].SetXmin(10, 20)
	guards["silent"].Release()
	guards["stays"].Release()
	expect("left without a word", "silent", 0, 20)
	expect("left, with one", "stays", 10, 20)
	table.Settled()
	expect("settled", "gone", 0, 0)
	expect("settled", "silent", 0, 0)
	expect("settled", "stays", 10, 20)
	table.Switched()
	expect("switched again", "stays", 0, 20)
}

func TestUnreserve(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir, 0)
	if err := create(table, "a", false, 100, 1); err != nil {
		t.Fatal(err)
	}
	g, err := acquire(table, "a", 7)
	if err != nil {
		t.Fatal(err)
	}
	if table.Unreserve("a") {
		t.Error("in use")
	}
	g.Release()
	if !table.Unreserve("a") || table.Persist() != nil || table.Oldest() != 0 {
		t.Error("it holds WAL")
	}
	again := open(t, dir, 0)
	if i, ok := again.Read("a"); !ok || i.Restart != 0 || i.Lost != NotLost {
		t.Errorf("after a restart: %+v", i)
	}
}

// What a member hears of another one's slot, whose owner is dead or has not seen the new primary yet, is no newer.
func TestXminOfAnotherMembersSlot(t *testing.T) {
	table := openShared(t, t.TempDir(), 0)
	old := shared.State{Name: "theirs", Generation: 1, Owner: "b", Stamp: 1, Restart: 50, Xmin: 10, Catalog: 20}
	table.Meet(old)
	table.Switched()
	xmin := func(when string, want uint64) {
		t.Helper()
		if i, _ := table.Read("theirs"); uint64(i.Xmin) != want {
			t.Errorf("%s: xmin %d, expected %d", when, i.Xmin, want)
		}
	}
	xmin("switched", 0)
	table.Meet(old)
	xmin("heard again", 0)
	old.Stamp, old.Restart = 2, 60
	table.Meet(old)
	xmin("its owner is behind", 0)
	old.Stamp, old.ActivePID = 3, 4
	table.Meet(old)
	xmin("a session says it there", 10)
	old.Stamp, old.ActivePID = 4, 0
	table.Meet(old)
	xmin("and has gone", 10)
}
