package fanout

import (
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestVotedWALIsKept: neither keep_size nor the limit of slots frees WAL that only stores voted for.
func TestVotedWALIsKept(t *testing.T) {
	limits := SlotLimits{Enforce: true, MaxKeep: 2 << 20}
	var from atomic.Uint64
	from.Store(uint64(everything))
	w := newWorldKeeping(t, 0, func(o *Options) {
		o.Limits = limits
		o.VotedFrom = func(lsn.TimelineID) lsn.LSN { return lsn.LSN(from.Load()) }
	}).adopt()
	start := w.gen.Start()
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "idle", ReserveWAL: true}, 9))
	w.grow(8 << 20)
	w.waitFor("the slot to be lost", func() bool { i, _ := w.slots.Read("idle"); return i.Lost != slot.NotLost })
	w.waitFor("that to be saved", func() bool { return w.slots.Oldest() == lsn.Invalid })
	w.grow(4 << 20)
	w.waitFor("all to be flushed", func() bool { return w.store.Positions().Flushed == w.end })
	w.store.SetRetention(w.hub.retainFrom) // wakes it
	if got := w.hub.VotedFrom(); got != everything {
		t.Fatalf("kept from %s", got)
	}
	if got := w.hub.VotedBytes(w.end); got != int64(testSeg.Floor(w.end)-start) {
		t.Errorf("kept for votes: %d bytes", got)
	}
	half := start + 6<<20
	if got := w.store.Positions().Oldest; got != start {
		t.Errorf("WAL was removed up to %s before a standby had it", got)
	}
	from.Store(uint64(half))
	if got := w.hub.VotedBytes(w.end); got != int64(testSeg.Floor(w.end)-testSeg.Floor(half)) {
		t.Errorf("kept for votes once a standby has half: %d bytes", got)
	}
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "there", ReserveWAL: true}, 9))
	w.hub.Tune(Tuning{Limits: SlotLimits{KeepSize: 1 << 30}})
	if got := w.hub.VotedBytes(w.end); got != 0 {
		t.Errorf("kept for votes, beyond keep_size: %d bytes", got)
	}
	w.hub.Tune(Tuning{Limits: limits})
	w.must(w.hub.DropSlot(t.Context(), "there", false, 9))
	w.grow(100_000)
	w.waitFor("what the standby has to be removed", func() bool {
		w.store.SetRetention(w.hub.retainFrom)
		return w.store.Positions().Oldest == testSeg.Floor(half)
	})
	from.Store(uint64(lsn.Invalid)) // the store votes no more
	w.waitFor("the rest to be removed", func() bool {
		w.store.SetRetention(w.hub.retainFrom)
		return w.store.Positions().Oldest > testSeg.Floor(half)
	})
}
