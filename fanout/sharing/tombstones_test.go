package sharing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// A drop is remembered until every member knows of it, however many come after it. When there is no room for more
// tombstones no slot is made, and a slot can still be dropped.
func TestDropsAreRememberedUntilConfirmed(t *testing.T) {
	const most = 8
	w := newWorldOf(t, time.Nanosecond, most, "a", "b", "c")
	a, c := w.all["a"], w.all["c"]
	w.runAll()
	w.must(a.create("old"))
	w.must(a.create("stays"))
	w.waitFor("c to know", func() bool { _, ok := c.slots.Read("old"); return ok && len(c.slots.List()) == 2 })
	w.part("c", true, true)
	w.must(a.drop("old"))
	refused := 0
	for i := range 3 * most {
		name := fmt.Sprintf("g%d", i)
		if err := a.create(name); err != nil {
			wantCode(t, err, pgerror.ConfigurationLimit, "all replication slots are in use")
			refused++
			continue
		}
		w.must(a.drop(name))
	}
	if refused == 0 || refused > 2*most {
		t.Errorf("%d of %d were refused", refused, 3*most)
	}
	w.must(a.drop("stays"))
	w.part("c", false, false)
	w.waitFor("all to know the same", func() bool {
		return len(a.sharing.Dropped()) == 0 && slices.Equal(a.slots.Shared(), c.slots.Shared())
	})
	for _, m := range w.all {
		if all := m.slots.List(); len(all) != 0 {
			t.Errorf("%s has %+v", m.name, all)
		}
	}
	for i := range most {
		w.must(a.create(fmt.Sprintf("h%d", i)))
	}
}
