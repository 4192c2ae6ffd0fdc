package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func openShared(t *testing.T, dir string, max int) *Table {
	t.Helper()
	table, err := Open(dir, Options{Node: "a", Max: max})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSharedFormat(t *testing.T) {
	for _, r := range []record{
		{name: "x", restart: 5, generation: 1 << 40, stamp: 1<<63 + 1, owner: "proxy_with_a_name", lost: IdleTimeout, real: Adopted},
		{name: "x", generation: 2, stamp: 1, owner: "b", dropped: true, created: 77},
	} {
		b := r.encode()
		if got, err := decode(b); err != nil || got != r || len(b) != sharedSize {
			t.Errorf("%+v, %v", got, err)
		}
		for i := range b {
			c := slices.Clone(b)
			c[i] ^= 4
			if _, err := decode(c); !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

// A proxy that joins a cluster brings its slots along; one that leaves it keeps all of them.
func TestJoinAndLeaveCluster(t *testing.T) {
	dir := t.TempDir()
	must(t, create(open(t, dir, 0), "mine", false, 100, 1))
	table := openShared(t, dir, 0)
	if s := table.Known("mine"); s.Owner != "a" || s.Generation != 1 || s.Restart != 100 {
		t.Fatalf("%+v", s)
	}
	table.Meet(shared.State{Name: "theirs", Generation: 3, Owner: "b", Stamp: 1, ActivePID: 4, Restart: 50})
	must(t, create(table, "gone", false, 10, 1))
	must(t, drop(table, "gone", 1))
	if s, _ := table.Read("theirs"); !s.Foreign || s.ActivePID != 4 || table.Oldest() != 50 {
		t.Errorf("%+v, oldest %s", s, table.Oldest())
	}
	must(t, table.Persist())
	for _, again := range []*Table{openShared(t, dir, 0), open(t, dir, 0)} {
		var names []string
		for _, s := range again.List() {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, []string{"mine", "theirs"}) || again.Oldest() != 50 {
			t.Errorf("%v, oldest %s", names, again.Oldest())
		}
		s, _ := again.Read("theirs")
		if s.ActivePID != 0 {
			t.Errorf("a session that nobody has told of: %+v", s)
		}
		if inCluster := again.node != ""; s.Foreign != inCluster || (s.Owner != "") != inCluster {
			t.Errorf("whose it is, in a cluster %v: %+v", inCluster, s)
		}
		if s := again.Known("gone"); !s.Dropped || s.Generation != 2 {
			t.Errorf("the tombstone: %+v", s)
		}
	}
	alone := open(t, dir, 0)
	must(t, create(alone, "gone", false, 10, 1))
	must(t, drop(alone, "theirs", 1))
	if s := open(t, dir, 0).List(); len(s) != 2 || s[0].Name != "gone" {
		t.Errorf("%+v", s)
	}
}

// What a proxy did after it had left its cluster is newer than what members know of before, when it is back.
func TestBackInTheCluster(t *testing.T) {
	dir := t.TempDir()
	table := openShared(t, dir, 0)
	must(t, create(table, "mine", false, 100, 1))
	theirs := shared.State{Name: "theirs", Generation: 3, Owner: "b", Stamp: 1, Restart: 50}
	table.Meet(theirs)
	must(t, table.Persist())
	mine := table.Known("mine")
	alone := open(t, dir, 0)
	for _, name := range []string{"mine", "theirs"} {
		g, err := acquire(alone, name, 7)
		must(t, err)
		g.Confirm(500)
		g.Release()
	}
	must(t, alone.Persist())
	table = openShared(t, dir, 0)
	for _, before := range []shared.State{mine, theirs} {
		now, met := table.Meet(before)
		if met != shared.Kept || now.Restart != 500 || now.Owner != before.Owner {
			t.Errorf("%+v is %+v after a member has told of before", before, now)
		}
	}
}

// Tombstones are as many as there may be slots; the oldest goes, its file too.
func TestTombstonesAreBounded(t *testing.T) {
	dir := t.TempDir()
	table := openShared(t, dir, 3)
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		must(t, create(table, name, false, 10, 1))
		must(t, drop(table, name, 1))
	}
	must(t, table.Persist())
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(table.Shared()) != 3 || len(files) != 3 || table.Known("s0").Generation != 0 || !table.Known("s4").Dropped {
		t.Errorf("%d tombstones, %d files: %+v", len(table.Shared()), len(files), table.Shared())
	}
	for i := range 4 { // no room is no reason to forget a drop, nor to take a slot in
		table.Meet(shared.State{Name: fmt.Sprintf("t%d", i), Generation: 1, Owner: "b", Stamp: 1})
	}
	if n := len(table.List()); n != 3 {
		t.Errorf("%d slots", n)
	}
	if _, met := table.Meet(shared.State{Name: "t0", Generation: 2, Owner: "b", Stamp: 1, Dropped: true}); met != shared.Took {
		t.Errorf("%d", met)
	}
}

// A name whose tombstone was forgotten begins above what another member may know of it.
func TestNameBeginsAboveWhatIsForgotten(t *testing.T) {
	dir := t.TempDir()
	table := openShared(t, dir, 3)
	table.Meet(shared.State{Name: "x", Generation: 40, Owner: "b", Stamp: 1, Dropped: true})
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		must(t, create(table, name, false, 10, 1))
		must(t, drop(table, name, 1))
		must(t, table.Persist())
		table = openShared(t, dir, 3)
	}
	if g := table.Known("x"); g.Generation != 0 {
		t.Fatalf("it is remembered: %+v", g)
	}
	must(t, create(table, "x", false, 10, 1))
	if s := table.Known("x"); s.Generation <= 40 {
		t.Errorf("%+v", s)
	}
}

// A drop that a member does not know of is not forgotten for another one.
func TestUnconfirmedTombstoneStays(t *testing.T) {
	table := openShared(t, t.TempDir(), 3)
	table.SetConfirmed(func() func(shared.State) bool {
		return func(s shared.State) bool { return s.Name != "old" }
	})
	dropped := func(name string) {
		t.Helper()
		must(t, create(table, name, false, 10, 1))
		must(t, drop(table, name, 1))
	}
	dropped("old")
	for i := range 9 {
		dropped(fmt.Sprintf("s%d", i))
	}
	if !table.Known("old").Dropped || len(table.Shared()) != 3 {
		t.Errorf("%+v", table.Shared())
	}
	table.SetConfirmed(func() func(shared.State) bool { return func(shared.State) bool { return false } })
	for i := range 3 { // 2*3 together
		dropped(fmt.Sprintf("t%d", i))
	}
	if err := create(table, "one_more", false, 10, 1); !isCode(err, pgerror.ConfigurationLimit) {
		t.Errorf("%v", err)
	}
	if _, met := table.Meet(shared.State{Name: "u", Generation: 1, Owner: "b", Stamp: 1, Dropped: true}); met != shared.Kept {
		t.Error("one tombstone too many was taken over")
	}
}

// A slot that is dropped elsewhere is gone, with whoever waits for it; its file does not come back.
func TestDroppedElsewhere(t *testing.T) {
	dir := t.TempDir()
	table := openShared(t, dir, 0)
	table.Meet(shared.State{Name: "x", Generation: 3, Owner: "b", Stamp: 1, ActivePID: 4, Restart: 50})
	must(t, table.Persist())
	waits := table.Freed("x")
	table.Meet(shared.State{Name: "x", Generation: 4, Owner: "b", Stamp: 1, Dropped: true})
	<-waits
	if err := drop(table, "x", 1); !isCode(err, pgerror.UndefinedObject) {
		t.Errorf("%v", err)
	}
	must(t, table.Persist())
	if s := openShared(t, dir, 0).Known("x"); !s.Dropped {
		t.Errorf("%+v", s)
	}
	if _, _, err := table.Propose(shared.Attach, "x", 1); !isCode(err, pgerror.UndefinedObject) {
		t.Errorf("%v", err)
	}
}

// Temporary slots are nobody else's business, and names of theirs stay theirs.
func TestTemporaryStaysHere(t *testing.T) {
	table := openShared(t, t.TempDir(), 0)
	must(t, create(table, "x", true, 10, 1))
	if len(table.Shared()) != 0 {
		t.Errorf("%+v", table.Shared())
	}
	if _, met := table.Meet(shared.State{Name: "x", Generation: 1, Owner: "b", Stamp: 1}); met != shared.Kept {
		t.Error("another member's slot took the place of a temporary one")
	}
	table.DropTemporary(1)
	if _, met := table.Meet(shared.State{Name: "x", Generation: 1, Owner: "b", Stamp: 1}); met != shared.Took {
		t.Error("not taken when the name was free")
	}
}

// A temporary slot that has the name of a dropped one does not bring that back: the drop is remembered.
func TestTemporaryKeepsTombstone(t *testing.T) {
	table := openShared(t, t.TempDir(), 0)
	table.Meet(shared.State{Name: "x", Generation: 3, Owner: "b", Stamp: 1, Dropped: true})
	must(t, create(table, "x", true, 10, 1))
	if s := table.Known("x"); !s.Dropped {
		t.Errorf("forgotten for a temporary slot: %+v", s)
	}
	table.DropTemporary(1)
	if now, met := table.Meet(shared.State{Name: "x", Generation: 2, Owner: "b", Stamp: 9}); met != shared.Kept || !now.Dropped {
		t.Errorf("a member that has not heard of the drop brought it back: %+v", now)
	}
}

// What is lost here is not lost where it is kept: it is not held here, and is again when its WAL is here.
func TestUnkept(t *testing.T) {
	table := openShared(t, t.TempDir(), 0)
	must(t, create(table, "x", false, 0x3000000, 1))
	b := Bounds{SegSize: 0x1000000, Oldest: 0x5000000, Received: 0x8000000, MaxKeep: NoLimit}
	judge := func() Availability { return b.Judge(table.List(), time.Now())[0] }
	if v := judge(); v.Lose != WALRemoved {
		t.Fatalf("%+v", v)
	}
	table.Keep("x", false)
	if v := judge(); v.Status != Unreserved || v.Lose != NotLost || v.Keep || table.Oldest() != 0 {
		t.Errorf("unkept: %+v, oldest %s", v, table.Oldest())
	}
	b.Oldest = 0x3000000
	if v := judge(); !v.Keep {
		t.Errorf("its WAL is back: %+v", v)
	}
	b.MaxKeep = 0x2000000
	if v := judge(); v.Keep {
		t.Errorf("beyond the cap: %+v", v)
	}
	table.Keep("x", true)
	if table.Oldest() != 0x3000000 {
		t.Errorf("oldest %s", table.Oldest())
	}
	before := table.Known("x")
	if _, done, err := table.Invalidate("x", WALRemoved); !done || err != nil {
		t.Fatal(err)
	}
	if now := table.Known("x"); now != before {
		t.Errorf("a loss here was told: %+v", now)
	}
	table.Revive("x")
	if s, _ := table.Read("x"); s.Lost != NotLost || s.Restart != 0x3000000 || !s.Unkept {
		t.Errorf("%+v", s)
	}
	if _, _, err := table.Invalidate("x", IdleTimeout); err != nil || !table.Known("x").Idle {
		t.Errorf("idle_timeout is everywhere: %+v, %v", table.Known("x"), err)
	}
	table.Meet(shared.State{Name: "y", Generation: 1, Owner: "b", Stamp: 1, Restart: 0x3000000})
	b = Bounds{SegSize: 0x1000000, Oldest: 0x1000000, Received: 0x8000000, MaxKeep: NoLimit, IdleTimeout: 1}
	if v := b.Judge(table.List(), time.Now().Add(time.Hour))[1]; v.Lose != NotLost {
		t.Errorf("idle elsewhere is the owner's business: %+v", v)
	}
}

// A generation that leaves none is refused, not overflowed.
func TestLastGeneration(t *testing.T) {
	table := openShared(t, filepath.Join(t.TempDir(), "slots"), 0)
	table.Meet(shared.State{Name: "x", Generation: shared.MaxGeneration, Owner: "b", Stamp: 1})
	if _, _, err := table.Propose(shared.Attach, "x", 1); !isCode(err, pgerror.ConfigurationLimit) {
		t.Errorf("%v", err)
	}
}

func isCode(err error, code pgerror.Code) bool {
	var e *pgerror.Error
	return errors.As(err, &e) && e.Code == code
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
