package fanout

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestVotedFrom(t *testing.T) {
	v := &voted{}
	check := func(tli lsn.TimelineID, until int, want lsn.LSN) {
		t.Helper()
		if got := v.from(tli, until); got != want {
			t.Errorf("timeline %s, %d standbys: %s, expected %s", tli, until, got, want)
		}
	}
	check(1, 0, lsn.Invalid)
	check(1, 1, everything)
	v.report("a", 1, 100, 2)
	check(1, 1, 100)
	check(1, 2, everything)
	v.report("A", 1, 300, 2) // the same one
	check(1, 2, everything)
	v.report("b", 1, 200, 2)
	check(1, 2, 200)
	check(1, 1, 300)
	v.report("c", 1, 250, 2) // b is forgotten,
	check(1, 2, 250)
	v.report("b", 1, 150, 2) // and does not count by what it said before
	check(1, 2, 250)
	v.report("b", 1, 400, 2)
	check(1, 2, 300)
	v.report("a", 1, 50, 2) // a new session of it; what it has flushed it has
	check(1, 2, 300)
	check(2, 1, everything) // nobody of the new timeline has said anything
	v.report("a", 2, 500, 2)
	v.report("b", 1, 900, 2) // too late
	check(2, 1, 500)
	check(2, 2, everything)
}

// TestVotedWALIsKept: neither keep_size nor the limit of slots frees WAL that only stores voted for; a
// standby that flushes without applying doesn't either, one that applies does.
func TestVotedWALIsKept(t *testing.T) {
	limits := Limits{Enforce: true, MaxKeep: 2 << 20}
	w := newWorldKeeping(t, 0, func(o *Options) { o.RetainUntil, o.Limits = 1, limits }).adopt()
	start := w.gen.Start()
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "idle", ReserveWAL: true}, 9))
	w.feed(8 << 20)
	w.waitFor("the slot to be lost", func() bool { i, _ := w.slots.Read("idle"); return i.Lost != slot.NotLost })
	archive := w.standby(1, StartRequest{At: start})
	archive.expect(copyBoth)
	archive.until(w.fed)
	archive.write('d', copyboth.StatusUpdate{Progress: lsn.Progress{Write: w.fed, Flush: w.fed}}.Append(nil))
	w.waitFor("its report", func() bool { rows := w.hub.Standbys(); return len(rows) == 1 && rows[0].Flush == w.fed })
	w.feed(4 << 20)
	w.waitFor("all to be flushed", func() bool { return w.store.Positions().Flushed == w.fed })
	w.store.SetRetention(w.hub.retainFrom) // wakes it
	if got := w.hub.VotedFrom(); got != everything {
		t.Fatalf("kept from %s", got)
	}
	if got := w.hub.VotedBytes(w.fed); got != int64(testSeg.Floor(w.fed)-start) {
		t.Errorf("kept for votes: %d bytes", got)
	}
	half := start + 6<<20
	applies := w.standby(2, StartRequest{At: start})
	applies.expect(copyBoth)
	applies.until(half)
	if got := w.store.Positions().Oldest; got != start {
		t.Errorf("WAL was removed up to %s before a standby had it", got)
	}
	applies.reply(half)
	w.waitFor("its report to count", func() bool { return w.hub.VotedFrom() == half })
	if got := w.hub.VotedBytes(w.fed); got != int64(testSeg.Floor(w.fed)-testSeg.Floor(half)) {
		t.Errorf("kept for votes once a standby has half: %d bytes", got)
	}
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "there", ReserveWAL: true}, 9))
	w.hub.Tune(Tuning{RetainUntil: 1, Limits: Limits{KeepSize: 1 << 30}})
	if got := w.hub.VotedBytes(w.fed); got != 0 {
		t.Errorf("kept for votes, beyond keep_size: %d bytes", got)
	}
	w.hub.Tune(Tuning{RetainUntil: 1, Limits: limits})
	w.must(w.hub.DropSlot(t.Context(), "there", false, 9))
	applies.leave()
	archive.leave()
	w.feed(100_000)
	w.waitFor("what the standby has to be removed", func() bool {
		w.store.SetRetention(w.hub.retainFrom)
		return w.store.Positions().Oldest == testSeg.Floor(half)
	})
	w.hub.Tune(Tuning{Limits: limits}) // the store votes no more
	w.waitFor("the rest to be removed", func() bool {
		w.store.SetRetention(w.hub.retainFrom)
		return w.store.Positions().Oldest > testSeg.Floor(half)
	})
}
