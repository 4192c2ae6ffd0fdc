package fanout

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// racing is a store in which something happens after whoever makes a slot has asked what is there.
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
	w := newWorldKeeping(t, 0, nil).adopt().grow(100_000)
	race := &racing{Store: w.store}
	hub := New(Options{Store: race, Slots: w.slots, AutoCreateSlots: true}) // does not run: nobody else asks
	for _, name := range []string{"made", "by_start"} {
		retained := func() {
			w.waitFor("all to be flushed", func() bool { return w.store.Positions().Flushed == w.end })
			n := race.passes.Load()
			w.waitFor("a whole pass of retention", func() bool {
				race.SetRetention(hub.retainFrom) // wakes it
				return race.passes.Load() > n+1
			})
		}
		race.after = func() {
			w.grow(8 << 20)
			retained()
		}
		at := testSeg.Floor(w.end)
		if name == "made" {
			w.must(hub.CreateSlot(t.Context(), SlotRequest{Name: name, ReserveWAL: true}, 9))
		} else {
			g, _, err := hub.acquireSlot(t.Context(), StartRequest{Slot: name, At: w.end}, SessionInfo{PID: 9})
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

// DROP_REPLICATION_SLOT … WAIT ends the moment a session of this proxy lets go of the slot, or when the client is tired.
func TestDropWaits(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1000)
	synctest.Test(t, func(t *testing.T) {
		hub := New(Options{Store: w.store, Slots: w.slots}) // does not run: the clock is this test's
		w.must(hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
		refused(t, hub.DropSlot(t.Context(), "none", true, 2), pgerror.UndefinedObject, `replication slot "none" does not exist`)
		g, _, err := hub.acquireSlot(t.Context(), StartRequest{Slot: "a"}, SessionInfo{PID: 1})
		w.must(err)
		refused(t, hub.DropSlot(t.Context(), "a", false, 2), pgerror.ObjectInUse, `replication slot "a" is active for PID 1`)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 3)
		go func() { ended <- hub.DropSlot(ctx, "a", true, 2) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("does not wait: %v", err)
		default:
		}
		canceled := pgerror.New(pgerror.QueryCanceled, "canceling statement due to user request")
		cancel(canceled)
		if err := <-ended; !errors.Is(err, canceled) {
			t.Fatal(err)
		}
		go func() { ended <- hub.DropSlot(t.Context(), "a", true, 3) }()
		go func() { ended <- hub.DropSlot(t.Context(), "a", true, 4) }()
		time.Sleep(dropPoll / 2)
		released := time.Now()
		g.Release()
		one, two := <-ended, <-ended
		if (one == nil) == (two == nil) {
			t.Fatal(one, two)
		}
		refused(t, errors.Join(one, two), pgerror.UndefinedObject, `replication slot "a" does not exist`)
		if late := time.Since(released); late > 0 {
			t.Errorf("dropped %v after it was free", late)
		}
	})
}
