package fanout

import (
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// racing is a store in which something happens after a slot's maker has asked what is there.
type racing struct {
	Store
	after  func()
	passes atomic.Int32 // of retention, begun
}

func (r *racing) Oldest() lsn.LSN {
	oldest := r.Store.Oldest()
	r.after()
	return oldest
}

func (r *racing) SetRetention(oldest func() lsn.LSN) {
	r.Store.SetRetention(func() lsn.LSN {
		r.passes.Add(1)
		return oldest()
	})
}

// TestSlotAgainstRetention: all WAL of a slot that is being made could go between the moment in which its
// start is chosen and the one in which it is there. It does not, and goes when the slot is dropped.
func TestSlotAgainstRetention(t *testing.T) {
	w := newWorldKeeping(t, 0, nil).adopt().feed(100_000)
	race := &racing{Store: w.store}
	hub := New(Options{Store: race, Slots: w.slots, AutoCreateSlots: true}) // does not run: nobody else asks
	for _, name := range []string{"made", "by_start"} {
		retained := func() {
			w.waitFor("all to be flushed", func() bool { return w.store.Positions().Flushed == w.fed })
			n := race.passes.Load()
			w.waitFor("a whole pass of retention", func() bool {
				race.SetRetention(hub.retainFrom) // wakes it
				return race.passes.Load() > n+1
			})
		}
		race.after = func() {
			w.feed(8 << 20)
			retained()
		}
		at := testSeg.Floor(w.fed)
		if name == "made" {
			w.must(hub.CreateSlot(t.Context(), SlotRequest{Name: name, ReserveWAL: true}, 9))
		} else {
			g, _, err := hub.acquireSlot(t.Context(), StartRequest{Slot: name, At: w.fed}, SessionInfo{PID: 9})
			w.must(err)
			g.Release()
		}
		retained()
		if st, ok := w.readSlot(name); !ok || st.RestartLSN != at || w.store.Oldest() > at {
			t.Errorf("%s: %+v, expected %s, there is WAL from %s on", name, st, at, w.store.Oldest())
		}
		w.must(hub.DropSlot(t.Context(), name, false, 9))
		retained()
		if oldest := w.store.Oldest(); oldest <= at {
			t.Errorf("%s: nothing is removed any more", name)
		}
	}
}
