package fanout

import (
	"context"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// SlotRequest is a CREATE_REPLICATION_SLOT … PHYSICAL.
type SlotRequest struct {
	Name       string
	Temporary  bool // belongs to the session
	ReserveWAL bool // holds WAL from now on, not only from the first report
}

// SlotState is the answer to READ_REPLICATION_SLOT for a physical slot.
type SlotState struct {
	RestartLSN      lsn.LSN        // Invalid: restart_lsn and restart_tli are NULL
	RestartTimeline lsn.TimelineID // of RestartLSN in the current history
}

// CreateSlot creates a physical slot for session pid. With ReserveWAL the slot holds WAL from the start of the segment
// that is being received. A backup that starts after this begins at a checkpoint whose redo position the primary has
// yet to write, or just wrote. Its receiver asks from the start of that segment.
//
// A name that the primary has is refused as a duplicate, because the slot there is to be taken over, not forgotten. A
// primary that can't be asked counts as having none. The error is 57P03 when there is no WAL to reserve yet, otherwise
// one of package slot's.
func (h *Hub) CreateSlot(ctx context.Context, r SlotRequest, pid int32) error {
	if _, here := h.known(ctx, r.Name); !here && !r.Temporary {
		_, there, err := h.onPrimary(ctx, r.Name)
		if err != nil {
			h.log.Warn("cannot ask the primary for a slot", "slot", r.Name, "err", err)
		}
		if there {
			return slot.ErrExists(r.Name)
		}
	}
	create := func(restart lsn.LSN) error {
		if r.Temporary {
			return h.o.Slots.CreateTemporary(r.Name, restart, pid)
		}
		return h.makeSlot(ctx, r.Name, slot.Seed{Restart: restart}, pid, h.o.Slots.Create)
	}
	if !r.ReserveWAL {
		return create(lsn.Invalid)
	}
	return h.reserve(h.o.Store.Served().End, create)
}

// reserve has a slot made that begins at the start of at's segment, or with what the store holds of it.
// No WAL is removed from before the store is asked until the slot is there: PostgreSQL, which can't hold
// its checkpointer back, looks again afterwards instead (ReplicationSlotReserveWal).
func (h *Hub) reserve(at lsn.LSN, create func(restart lsn.LSN) error) error {
	id, ok := h.o.Store.Identity()
	if !ok || at == lsn.Invalid {
		return errNoStore()
	}
	h.reserving.Add(1)
	defer h.reserving.Add(-1)
	return create(max(id.SegSize.Floor(at), h.o.Store.Oldest()))
}

// ReadSlot returns the state of a slot; false (a row of NULLs, no error) when there is none. For a slot that is not
// here it waits for the primary, which may have it; a logical one is 0A000.
func (h *Hub) ReadSlot(ctx context.Context, name string) (SlotState, bool, error) {
	info, ok := h.known(ctx, name)
	if !ok {
		real, exists, err := h.onPrimary(ctx, name)
		if err != nil || !exists {
			return SlotState{}, false, nil
		}
		if real.Logical {
			return SlotState{}, false, pgerror.New(pgerror.FeatureNotSupported,
				"cannot use READ_REPLICATION_SLOT with a logical replication slot")
		}
		info.Restart = real.Restart
	}
	st := SlotState{RestartLSN: info.Restart}
	if info.Restart != lsn.Invalid {
		st.RestartTimeline = h.o.Store.History().TimelineOf(info.Restart)
	}
	return st, true, nil
}

// HasSlot reports whether a slot is here, or at another member of the cluster. It may block for members' answers, a
// bounded time or until ctx ends.
func (h *Hub) HasSlot(ctx context.Context, name string) bool {
	_, ok := h.known(ctx, name)
	return ok
}

// DropSlot drops a slot for session pid. When it returns nil the removal is durable. A slot that is active for another
// session is 55006, or is waited for when wait is set (DROP_REPLICATION_SLOT … WAIT): until ctx ends, whose cause is
// then returned.
func (h *Hub) DropSlot(ctx context.Context, name string, wait bool, pid int32) error {
	was, _ := h.known(ctx, name)
	err := h.dropSlot(ctx, was, name, wait, pid)
	if err == nil {
		h.mergeFeedback()
		if h.o.Primary != nil {
			h.o.Primary.Dropped(ctx, was)
		}
	}
	return err
}

// DropTemporary drops the temporary slots of session pid. Whoever owns the session calls it at the
// session's end and after every ERROR that it sends (facts B1).
func (h *Hub) DropTemporary(pid int32) { h.o.Slots.DropTemporary(pid) }

// acquireSlot takes the slot of a START_REPLICATION; without a name there is none to take. One that is
// not here is taken over from the primary, or made when that is wanted: then made is true.
func (h *Hub) acquireSlot(ctx context.Context, r StartRequest, who SessionInfo) (g *slot.Guard, made bool, err error) {
	if r.Slot == "" {
		return nil, false, nil
	}
	pid := who.PID
	was, exists := h.known(ctx, r.Slot)
	if exists && was.Lost != slot.NotLost && !was.Temporary && was.ActivePID == 0 {
		if exists, err = h.replaceLost(ctx, was, pid); err != nil {
			return nil, false, err
		}
	}
	if !exists {
		adopted, err := h.adopt(ctx, r.Slot, pid)
		if err != nil {
			return nil, false, err
		}
		if !adopted && h.tuning.Load().AutoCreateSlots {
			err := h.reserve(min(r.At, h.o.Store.Served().End), func(restart lsn.LSN) error {
				return h.makeSlot(ctx, r.Slot, slot.Seed{Restart: restart}, pid, h.o.Slots.Create)
			})
			if err != nil && !isDuplicate(err) {
				return nil, false, err
			}
			made = err == nil
		}
	}
	if g, err = h.takeSlotLeft(ctx, r.Slot, who); err != nil && made {
		h.unmake(ctx, r.Slot, pid)
	}
	return g, made, err
}
