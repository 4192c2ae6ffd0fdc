package fanout

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

const adminShutdown = "terminating connection due to administrator command"

// TestSlotIsLost: beyond max_slot_wal_keep_size the owner is ended, restart_lsn is NULL, the WAL goes;
// older versions may go on without protection, 18 refuses (facts G). It is said once.
func TestSlotIsLost(t *testing.T) {
	var out syncBuffer
	w := newWorldKeeping(t, 0, func(o *Options) {
		o.Limits = SlotLimits{Enforce: true, MaxKeep: 2 * int64(testSeg)}
		o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	}).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a", ReserveWAL: true}, 1))
	s := w.standby(1, StartRequest{Slot: "a", At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	s.feedback(700, 0)
	w.waitFor("the feedback", func() bool { return w.hub.FeedbackStatus().XminOf == "a" })
	row := w.hub.Slots()[0]
	if row.Status != slot.Reserved || !row.SafeKnown || row.Safe <= 0 || row.Safe > 3*int64(testSeg) {
		t.Errorf("%+v", row)
	}

	w.grow(4 * int(testSeg))
	if e := pgerror.From(s.ended()); e.Code != pgerror.AdminShutdown || e.Message != adminShutdown || !e.IsFatal() {
		t.Errorf("ended with %+v", e)
	}
	w.waitFor("the slot to be free", func() bool { return w.hub.Slots()[0].ActivePID == 0 })
	row = w.hub.Slots()[0]
	if row.Status != slot.Lost || row.Lost != slot.WALRemoved || row.Restart != lsn.Invalid || row.SafeKnown {
		t.Errorf("%+v", row)
	}
	w.waitFor("a lost slot to pin nothing", func() bool { f, _ := w.hub.Feedback(); return f == Feedback{} })
	w.waitFor("the store to remove its WAL", func() bool { return w.store.Positions().Oldest > w.gen.Start() })

	w.restart()                    // without the limit: a lost slot stays lost
	at := testSeg.Floor(w.end - 1) // no slot holds more, and what is removed later is not there for the standbys below
	w.waitFor("the store to have removed the rest", func() bool { return w.store.Positions().Oldest == at })
	refused(t, w.standby(2, StartRequest{Slot: "a", At: at, Version: 180004}).ended(), pgerror.ObjectNotInPrerequisite,
		`can no longer access replication slot "a"`)
	s = w.standby(3, StartRequest{Slot: "a", At: at, Version: 170010})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	s.leave()
	if row := w.hub.Slots()[0]; row.Restart != lsn.Invalid || row.Status != slot.Lost {
		t.Errorf("a lost slot came back to life: %+v", row)
	}
	if n := strings.Count(out.String(), "replication slot is lost"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out.String())
	}
}

// TestFullDiskLosesTheFurthest: with auto the slot furthest behind goes, as soon as room is short and
// not before; the others stay.
func TestFullDiskLosesTheFurthest(t *testing.T) {
	var room atomic.Int64
	room.Store(1 << 30)
	w := newWorldKeeping(t, 0, func(o *Options) {
		o.Limits = SlotLimits{Enforce: true, MaxKeep: slot.Auto, Room: func() (int64, bool) { return room.Load(), true }}
	}).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "far", ReserveWAL: true}, 1))
	w.grow(3 * int(testSeg))
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "near", ReserveWAL: true}, 1))
	w.grow(3 * int(testSeg))
	w.hub.enforce(time.Now())
	for _, row := range w.hub.Slots() {
		if row.Lost != slot.NotLost || !row.SafeKnown || row.Safe < 1<<30 {
			t.Errorf("lost in spite of room: %+v", row)
		}
	}
	room.Store(-1)
	w.waitFor("the furthest behind to be lost", func() bool { return w.hub.LostSlots() == 1 })
	far, near := w.hub.Slots()[0], w.hub.Slots()[1]
	if far.Lost != slot.WALRemoved || near.Lost != slot.NotLost {
		t.Errorf("%+v\n%+v", far, near)
	}
	w.waitFor("room to be made", func() bool {
		return testSeg.Segno(w.store.Positions().Oldest) == testSeg.Segno(near.Restart)
	})
}

// TestIdleSlotIsLost is 18's idle_replication_slot_timeout, with its restart_lsn still shown.
func TestIdleSlotIsLost(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.IdleTimeout = time.Millisecond }).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "busy"}, 1))
	s := w.standby(1, StartRequest{Slot: "busy", At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)
	s.reply(w.end)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "idle", ReserveWAL: true}, 1))
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "unused"}, 1))
	w.waitFor("the idle slot to be lost", func() bool { return w.hub.LostSlots() == 1 })
	rows := w.hub.Slots()
	if rows[0].Lost != slot.NotLost || rows[1].Lost != slot.IdleTimeout || rows[1].Restart == lsn.Invalid ||
		rows[2].Lost != slot.NotLost {
		t.Errorf("%+v", rows)
	}
	err := w.standby(2, StartRequest{Slot: "idle", At: w.gen.Start(), Version: 180000}).ended()
	if e := pgerror.From(err); e.Detail != `This replication slot has been invalidated due to "idle_timeout".` {
		t.Errorf("%+v", e)
	}
}
