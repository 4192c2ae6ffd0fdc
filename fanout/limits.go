package fanout

import (
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// limitsInterval spaces the looks whether slots keep to their limits. A disk of 1 GB/s writes that much in between,
// which SlotLimits.Room must count in.
const limitsInterval = time.Second

// SlotLimits bound the WAL that slots hold; the zero value bounds nothing.
type SlotLimits struct {
	KeepSize int64 // wal.keep_size, as the store has it
	MaxKeep  int64 // max_slot_wal_keep_size in bytes, or slot.NoLimit or slot.Auto; needs Enforce
	Enforce  bool  // MaxKeep counts
	// Room returns how many bytes may still be written to the volume, for slot.Auto. False: not known, and no slot is
	// lost.
	Room        func() (int64, bool)
	IdleTimeout time.Duration // 0: off
}

// SlotRow is one slot in the shape of pg_replication_slots.
type SlotRow struct {
	slot.Info
	slot.Availability
}

// Slots returns the state of all slots, by name.
func (h *Hub) Slots() []SlotRow {
	all := h.o.Slots.List()
	rows := make([]SlotRow, len(all))
	for i, v := range h.bounds().Judge(all, time.Now()) {
		rows[i] = SlotRow{all[i], v}
	}
	return rows
}

// LostSlots counts the slots that were lost since the start.
func (h *Hub) LostSlots() int64 { return h.lost.Load() }

func (h *Hub) bounds() slot.Bounds {
	l := h.tuning.Load().Limits
	b := slot.Bounds{KeepSize: l.KeepSize, MaxKeep: slot.NoLimit, IdleTimeout: l.IdleTimeout}
	if id, ok := h.o.Store.Identity(); ok {
		b.SegSize, b.Oldest, b.Received = id.SegSize, h.o.Store.Oldest(), h.o.Store.Served().End
	}
	if l.Enforce {
		b.MaxKeep = l.MaxKeep
	}
	if b.MaxKeep == slot.Auto {
		known := false
		if l.Room != nil {
			b.Room, known = l.Room()
		}
		if !known {
			b.MaxKeep = slot.NoLimit
		}
	}
	return b
}

// enforce invalidates the slots that are lost now. Each is told once: a lost slot stays lost.
func (h *Hub) enforce(now time.Time) {
	b, all := h.bounds(), h.o.Slots.List()
	lost := 0
	for i, v := range b.Judge(all, now) {
		if v.Keep {
			h.o.Slots.Keep(all[i].Name, true)
			continue
		}
		if v.Lose == slot.NotLost {
			continue
		}
		if v.Lose == slot.WALRemoved && (all[i].Foreign || len(h.sharing(all[i]).KeptBy(all[i].Name)) > 0) {
			h.o.Slots.Keep(all[i].Name, false)
			lost++
			h.log.Warn("the WAL of a slot is not kept here any more: other members of the cluster may keep it",
				"slot", all[i].Name, "restart_lsn", all[i].Restart, "owner", all[i].Owner)
			continue
		}
		was, done, err := h.o.Slots.Invalidate(all[i].Name, v.Lose)
		if !done {
			continue
		}
		lost++
		h.lost.Add(1)
		held := int64(0)
		if was.Restart != lsn.Invalid && b.Received > was.Restart {
			held = int64(b.Received - was.Restart)
		}
		h.log.Error("replication slot is lost: its WAL is given up and its standby may need to be made anew",
			"slot", was.Name, "invalidation_reason", string(v.Lose), "restart_lsn", was.Restart, "held_bytes", held,
			"active_pid", was.ActivePID)
		if err != nil {
			h.log.Error("cannot save that a slot is lost, trying again", "slot", was.Name, "err", err)
		}
	}
	if lost == 0 {
		return
	}
	h.mergeFeedback()
	h.o.Store.SetRetention(h.retainFrom) // wakes the store: there is something to remove
}
