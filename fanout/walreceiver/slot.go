package walreceiver

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// repeatDropped lies between two log lines that somebody has dropped the slot.
const repeatDropped = time.Minute

// readSlotVersion is the first server_version_num that has READ_REPLICATION_SLOT.
const readSlotVersion = 150000

// PrepareSlot makes sure that the stream's slot is there, unless it leads to a member, and returns where it begins. It
// takes slots.rule_gate where it can.
func (st *Stream) PrepareSlot(ctx context.Context) (SlotStart, error) {
	r := st.r
	state, err := st.prepareSlot(ctx)
	if err == nil {
		r.slotLost = false
		state = st.judgeSlot(state)
		st.holdSlot(ctx)
		st.takeRuleGate(ctx)
		st.borne = st.bears(ctx)
	}
	r.Update(func(s *Status) {
		s.SlotState, s.SlotLSN, s.SlotApart, s.RuleGated = state, st.srv.Slot.Restart, st.apart, st.ruleGated()
	})
	return st.srv.Slot, err
}

// prepareSlot makes sure that the slot exists and reserves WAL, and notes in srv where it begins (15+). A slot of that
// name that reserves nothing protects nothing, and nobody but this proxy uses it, so it is made anew. An invalidated
// slot would let one stream and lose WAL all the same (facts G).
func (st *Stream) prepareSlot(ctx context.Context) (SlotState, error) {
	r, srv := st.r, &st.srv
	if r.o.Slot == "" {
		return SlotNone, nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	q := st.conn.Slots(srv.Version)
	if q == nil {
		return SlotNone, nil
	}
	if srv.Version < readSlotVersion {
		state, err := prepareBlind(ctx, q, r.o.Slot, r.slotLost, r.o.MayUse)
		if state == SlotRecreated {
			r.log.Warn("upstream slot reserved no WAL, it was made anew", "slot", r.o.Slot)
		}
		return state, err
	}
	found, at, err := q.Read(ctx, r.o.Slot)
	srv.Slot = at
	if pgerror.HasCode(err, pgerror.FeatureNotSupported) { // a logical one
		return SlotForeign, nil
	}
	if err != nil {
		return SlotUnknown, err
	}
	if err := mayUse(r.o.MayUse, found); err != nil {
		return SlotUnknown, err
	}
	state := SlotFound
	if found && (srv.Slot.Restart == 0 || r.slotLost) {
		r.log.Warn("upstream slot reserves no WAL, making it anew", "slot", r.o.Slot)
		if err := q.Drop(ctx, r.o.Slot); err != nil {
			return SlotUnknown, err
		}
		found, state = false, SlotRecreated
	} else if !found {
		state = SlotCreated
	}
	if found {
		return state, nil
	}
	if _, err := q.Create(ctx, r.o.Slot); err != nil {
		return SlotUnknown, err
	}
	_, srv.Slot, err = q.Read(ctx, r.o.Slot)
	return state, err
}

// mayUse asks ask whether the slot may be made, or with exists used; a nil ask allows both.
func mayUse(ask func(exists bool) error, exists bool) error {
	if ask == nil {
		return nil
	}
	return ask(exists)
}

// droppedBySomebody is the log line when the slot was there before and had to be made again.
const droppedBySomebody = "somebody dropped the slot on the primary: it was made anew; tell who manages slots there " +
	"to leave it alone (Patroni: ignore_slots)"

// judgeSlot explains why the slot had to be made: if it was there before, somebody dropped it. It was there before on
// the server of the connection before. After a start it was there on a primary of the timeline that the store ends on,
// if the slot had the same name then.
func (st *Stream) judgeSlot(state SlotState) SlotState {
	r, e := st.r, st.conn.Endpoint()
	at, have := r.slotAt, r.o.Store.Positions()
	r.slotAt, st.foreign = e, state == SlotForeign
	same := at.Host == e.Host && at.Port == e.Port
	first := at == upstream.Endpoint{} && st.conn.Parameters()["in_hot_standby"] == "off"
	switch {
	case state == SlotForeign:
		r.slotAt = upstream.Endpoint{}
		r.log.Warn("a logical slot on the upstream has the name of this proxy's: streaming without one, and the "+
			"upstream keeps no WAL for this proxy; drop it there, or name another one in upstream.slot",
			"slot", r.o.Slot)
	case state == SlotCreated && first && r.o.EarlierSlot != "":
		r.log.Warn("the slot has another name than when this store was used before: it was made, and the one of the "+
			"earlier name holds WAL on the primary until it is dropped there", "slot", r.o.Slot,
			"earlier", r.o.EarlierSlot)
	case state == SlotCreated && have.Received != lsn.Invalid && have.Timeline == st.srv.Timeline && (same || first):
		state = SlotDropped
		if now := time.Now(); now.Sub(r.saidDrop) >= repeatDropped { // a manager may drop it whenever it is made
			r.saidDrop = now
			r.log.Warn(droppedBySomebody, "slot", r.o.Slot, "restart_lsn", st.srv.Slot.Restart,
				"flushed_lsn", have.Flushed, "wal_may_be_missing", st.srv.Slot.Restart > have.Flushed)
		}
		r.Update(func(s *Status) { s.SlotDrops, s.DroppedAt = s.SlotDrops+1, time.Now() })
	}
	return state
}

// slotless reports whether the stream does without a slot.
func (st *Stream) slotless() bool {
	return !st.ruleGated() && (st.r.o.Slot == "" || st.apart || st.foreign)
}

// prepareBlind prepares the slot on 14, which can't be asked: creating tells by its refusal that there is one. lost: it
// is known to be invalidated, so it is dropped first. ask is that of mayUse.
func prepareBlind(ctx context.Context, q Slots, name string, lost bool, ask func(bool) error) (SlotState, error) {
	if lost {
		if err := q.Drop(ctx, name); err != nil {
			return SlotUnknown, err
		}
	}
	created, err := q.Create(ctx, name)
	if err == nil {
		err = mayUse(ask, !created)
	}
	switch {
	case err != nil:
		return SlotUnknown, err
	case created && lost:
		return SlotRecreated, nil
	case created:
		return SlotCreated, nil
	}
	return SlotFound, nil
}
