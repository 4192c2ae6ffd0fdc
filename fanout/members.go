package fanout

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// dropPoll spaces the looks of DROP_REPLICATION_SLOT WAIT whether a slot of a cluster has become free.
const dropPoll = 250 * time.Millisecond

// Members are the other proxies of a cluster, which share the persistent slots; *sharing.Sharing is one. What
// it does takes a bounded time.
type Members interface {
	// Ask learns what they know of a slot.
	Ask(ctx context.Context, name string)
	// Claim has them agree to what a session wants of a slot; application is its application_name, "" where it does not
	// matter. Errors are PostgreSQL's; slot.ErrDoubted in a 55006 says that the session that has the slot is asked
	// whether it lives.
	Claim(ctx context.Context, w shared.Wish, name, application string, pid int32) (shared.State, error)
	// Told waits until those that can be reached know what is known here of a slot.
	Told(ctx context.Context, name string)
	// KeptBy are those that keep the WAL of a slot.
	KeptBy(name string) []string
}

// known is the state of a slot. Members are asked for one that is not here: it may be a moment old.
func (h *Hub) known(ctx context.Context, name string) (slot.Info, bool) {
	info, ok := h.o.Slots.Read(name)
	if !ok && h.o.Members != nil && name != "" {
		h.o.Members.Ask(ctx, name)
		info, ok = h.o.Slots.Read(name)
	}
	return info, ok
}

// makeSlot makes a slot; it is everywhere when it returns, as far as members can be reached.
func (h *Hub) makeSlot(ctx context.Context, s slot.Seed, pid int32) error {
	return h.claimed(ctx, s.Name, pid, s.Temporary, func(claim *shared.State) error {
		if claim == nil {
			return h.o.Slots.Create(s.Name, s.Temporary, s.Restart, pid)
		}
		return h.o.Slots.MakeClaimed(*claim, s, pid)
	})
}

func (h *Hub) adoptSlot(ctx context.Context, a slot.Adoption, pid int32) error {
	return h.claimed(ctx, a.Name, pid, false, func(claim *shared.State) error {
		if claim == nil {
			return h.o.Slots.Adopt(a, pid)
		}
		return h.o.Slots.AdoptClaimed(*claim, a, pid)
	})
}

// claimed creates with the members' consent, nil where none is needed.
func (h *Hub) claimed(ctx context.Context, name string, pid int32, own bool, create func(*shared.State) error) error {
	if h.o.Members == nil || own {
		return create(nil)
	}
	claim, err := h.o.Members.Claim(ctx, shared.Create, name, "", pid)
	if err != nil {
		return err
	}
	if err := create(&claim); err != nil {
		h.o.Slots.Retract(claim)
		return err
	}
	h.o.Members.Told(ctx, name)
	return nil
}

// takeSlot makes a slot active for a session, wherever it was used before.
func (h *Hub) takeSlot(ctx context.Context, name string, who SessionInfo) (*slot.Guard, error) {
	pid := who.PID
	info, ok := h.o.Slots.Read(name)
	if h.o.Members == nil || !ok || info.Temporary {
		return h.o.Slots.Acquire(name, pid)
	}
	claim, err := h.o.Members.Claim(ctx, shared.Attach, name, who.ApplicationName, pid)
	if err != nil {
		return nil, err
	}
	if info.Lost == slot.WALRemoved && len(h.keptBy(name)) > 0 {
		h.o.Slots.Revive(name)
		h.log.Info("a slot whose WAL was given up here is used again: other members keep it", "slot", name)
	}
	guard, err := h.o.Slots.AcquireClaimed(claim, pid)
	if err == nil && info.Foreign {
		h.log.Info("took a slot over from another member", "slot", name, "member", info.Owner,
			"restart_lsn", info.Restart)
	}
	return guard, err
}

// dropSlot drops a slot for all members. was is what is known of it, the zero Info for nothing.
func (h *Hub) dropSlot(ctx context.Context, was slot.Info, name string, wait bool, pid int32) error {
	if h.o.Members == nil || was.Name == "" || was.Temporary {
		return h.o.Slots.Drop(ctx, name, wait, pid)
	}
	tick := time.NewTicker(dropPoll)
	defer tick.Stop()
	for {
		claim, err := h.o.Members.Claim(ctx, shared.Drop, name, "", pid)
		if err == nil {
			if err = h.o.Slots.DropClaimed(claim, pid); err == nil {
				h.o.Members.Told(ctx, name)
				return nil
			}
			h.o.Slots.Retract(claim)
		}
		if refusal := (*pgerror.Error)(nil); !wait || !errors.As(err, &refusal) || refusal.Code != pgerror.ObjectInUse {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// keptBy are the members that keep the WAL of a slot.
func (h *Hub) keptBy(name string) []string {
	if h.o.Members == nil {
		return nil
	}
	return h.o.Members.KeptBy(name)
}

// KeepsWAL reports whether this proxy keeps the WAL that a slot needs.
func (h *Hub) KeepsWAL(s slot.Info) bool {
	id, ok := h.o.Store.Identity()
	if s.Lost != slot.NotLost || s.Unkept || !ok {
		return false
	}
	return s.Restart == lsn.Invalid || id.SegSize.Segno(s.Restart) >= id.SegSize.Segno(h.o.Store.Oldest())
}

// SlotsHeard is to be called after slots of other members were heard of: they hold xmin, too.
func (h *Hub) SlotsHeard() { h.mergeFeedback() }
