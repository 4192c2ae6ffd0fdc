package fanout

import (
	"testing"
)

// TestTallies: what is sent is counted under names that a rule or a lasting slot has, whoever else comes shares one
// label, and a label goes with its slot.
func TestTallies(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Named = func(name string) bool { return name == "standby_1" } }).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "standby_2", ReserveWAL: true}, 9))
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "of_three", ReserveWAL: true}, 9))
	sent := uint64(w.end - w.gen.Start())
	for pid, slot := range map[int32]string{1: "", 2: "", 3: "of_three", 4: "", 5: ""} {
		s := w.standby(pid, StartRequest{At: w.gen.Start(), Slot: slot})
		s.expect(copyBoth)
		s.until(w.end)
		s.reply(w.end)
	}
	want := map[string]uint64{"": 0, "standby_1": sent, "standby_2": sent, "of_three": sent, OtherStandbys: 2 * sent}
	has := func(want map[string]uint64) bool {
		all := w.hub.Tallies()
		for _, c := range all {
			if c.Bytes != want[c.Label] {
				return false
			}
		}
		return len(all) == len(want)
	}
	w.waitFor("every standby is counted", func() bool { return has(want) })
	for _, b := range w.hub.Standbys() {
		if l := map[int32]string{1: "standby_1", 2: "standby_2", 3: "of_three"}[b.PID]; l != b.Label && (l != "" || b.Label != OtherStandbys) {
			t.Errorf("%s has the label %q", b.ApplicationName, b.Label)
		}
	}
	w.must(w.hub.DropSlot(t.Context(), "standby_2", false, 9))
	delete(want, "standby_2")
	w.waitFor("the label goes with its slot", func() bool { return has(want) })
}

// TestTallyCountsFlushes: a streaming standby's report counts once for WAL that it is the first to confirm.
func TestTallyCountsFlushes(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	s := w.standby(1, StartRequest{At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	w.waitFor("it streams", func() bool { b := w.hub.Standbys(); return len(b) == 1 && b[0].Flush == w.end })
	counted := func() (n uint64) {
		for _, c := range w.hub.Tallies() {
			_, all := c.Flush.Cumulative()
			n += all
		}
		return n
	}
	was := counted()
	w.page()
	s.until(w.end)
	s.reply(w.end)
	w.waitFor("it is counted", func() bool { return counted() == was+1 })
	s.reply(w.end)
	s.reply(w.end - 1)
	w.page()
	s.until(w.end)
	s.reply(w.end)
	w.waitFor("nothing else is", func() bool { return counted() == was+2 })
}
