package fanout

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestSlotHoldsWAL(t *testing.T) {
	w := newWorldKeeping(t, 0, nil).adopt().grow(1_500_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a", ReserveWAL: true}, 1))
	reserved := testSeg.Floor(w.end)
	if st, ok := w.readSlot("a"); !ok || st != (SlotState{reserved, 1}) {
		t.Errorf("%+v, expected %s", st, reserved)
	}
	w.grow(8 << 20)
	if oldest := w.store.Positions().Oldest; oldest > reserved {
		t.Fatalf("WAL is kept from %s only, the slot needs %s", oldest, reserved)
	}
	s := w.standby(1, StartRequest{Slot: "a", At: reserved})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	w.waitFor("restart_lsn follows", func() bool { st, _ := w.readSlot("a"); return st.RestartLSN == w.end })
	if i, _ := w.slots.Read("a"); i.ActivePID != 1 {
		t.Errorf("%+v", i)
	}
	s.leave()
	w.waitFor("released", func() bool { i, _ := w.slots.Read("a"); return i.ActivePID == 0 })
	w.waitFor("the hub saves it and the store lets go", func() bool {
		w.grow(100_000)
		return w.store.Positions().Oldest > reserved
	})
	late := w.standby(2, StartRequest{At: reserved})
	late.expect(copyBoth)
	refused(t, late.ended(), pgerror.UndefinedFile,
		"requested WAL segment "+testSeg.FileName(1, testSeg.Segno(reserved))+" has already been removed")
}

func TestSlotsSurviveRestart(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1_500_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a", ReserveWAL: true}, 1))
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "t", Temporary: true}, 1))
	s := w.standby(1, StartRequest{Slot: "a", At: 0x3000000})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	s.feedback(735, 0)
	w.waitFor("both arrived", func() bool { i, _ := w.slots.Read("a"); return i.Xmin == 735 && i.Restart == w.end })
	s.leave()
	w.shutdown()
	w.start(nil)
	if st, ok := w.readSlot("a"); !ok || st.RestartLSN != w.end {
		t.Errorf("%+v", st)
	}
	if _, ok := w.readSlot("t"); ok {
		t.Error("a temporary slot survived")
	}
	w.waitFor("feedback of the absent standby", func() bool { f, ok := w.hub.Feedback(); return ok && f == Feedback{Xmin: 735} })
}

func TestAutoCreate(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.AutoCreateSlots = true }).adopt().grow(1_500_000)
	at := w.gen.Start() + 12345
	s := w.standby(1, StartRequest{Slot: "new", At: at})
	s.expect(copyBoth)
	if st, ok := w.readSlot("new"); !ok || st.RestartLSN != w.gen.Start() {
		t.Errorf("%+v", st)
	}
	refused(t, w.standby(2, StartRequest{Slot: "new", At: at}).ended(), pgerror.ObjectInUse,
		`replication slot "new" is active for PID 1`)
	refused(t, w.standby(2, StartRequest{Slot: "New", At: at}).ended(), pgerror.InvalidName,
		`replication slot name "New" contains invalid character`)
}
