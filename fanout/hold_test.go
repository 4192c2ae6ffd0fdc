package fanout

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSlotBelowTheStore: a standby with a slot reports what it has from before the store began, as one does
// that is served by a backfill. The slot is not lost for that, and holds what there is.
func TestSlotBelowTheStore(t *testing.T) {
	w := newWorldKeeping(t, 0, nil).adopt().grow(5 * int(testSeg))
	w.waitFor("the store to remove WAL", func() bool { return w.store.Positions().Oldest > w.gen.Start()+lsn.LSN(testSeg) })
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	s := w.standby(1, StartRequest{Slot: "a", At: testSeg.Floor(w.end)})
	s.expect(copyBoth)
	s.reply(w.gen.Start() + 100)
	w.waitFor("the report", func() bool { st, _ := w.readSlot("a"); return st.RestartLSN != lsn.Invalid })
	w.hub.enforce(time.Now())
	row := w.hub.Slots()[0]
	if row.Lost != slot.NotLost || row.ActivePID != 1 || row.Restart < w.store.Positions().Oldest {
		t.Fatalf("%+v, and the store begins at %s", row, w.store.Positions().Oldest)
	}
	before := row.Restart
	s.reply(w.gen.Start() + 200) // forward, and still from before
	w.waitFor("the report", func() bool { return w.hub.Standbys()[0].Flush == w.gen.Start()+200 })
	w.hub.enforce(time.Now())
	w.grow(3 * int(testSeg))
	s.until(w.end)
	if row := w.hub.Slots()[0]; row.Restart != before || row.Lost != slot.NotLost || w.store.Oldest() > before {
		t.Errorf("%+v, and the store begins at %s", row, w.store.Oldest())
	}
	s.reply(w.end)
	w.waitFor("the slot to follow", func() bool { st, _ := w.readSlot("a"); return st.RestartLSN == w.end })
}
