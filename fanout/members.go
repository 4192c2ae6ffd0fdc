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

// dropPoll spaces the looks of DROP_REPLICATION_SLOT WAIT whether a slot is free that another member's session uses.
const dropPoll = 250 * time.Millisecond

// Members are the other proxies of a cluster, which share the persistent slots; *sharing.Sharing is one. What
// it does takes a bounded time.
type Members interface {
	// Ask learns their states of a slot.
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

// nobody is Members where there are none, and of what other members do not hear of: it agrees at once.
type nobody struct{ slots *slot.Table }

func (nobody) Ask(context.Context, string) {}

func (n nobody) Claim(_ context.Context, w shared.Wish, name, _ string, pid int32) (shared.State, error) {
	claim, _, err := n.slots.Propose(w, name, pid)
	return claim, err
}

func (nobody) Told(context.Context, string) {}

func (nobody) KeptBy(string) []string { return nil }

// sharing returns the members that have to agree to a change of a slot: of a temporary one nobody has to.
func (h *Hub) sharing(s slot.Info) Members {
	if s.Temporary {
		return nobody{h.o.Slots}
	}
	return h.o.Members
}

// known returns the state of a slot. Members are asked for one that is not here: it may be a moment old. false: nobody
// who could be asked has it, or the name is empty.
func (h *Hub) known(ctx context.Context, name string) (slot.Info, bool) {
	info, ok := h.o.Slots.Read(name)
	if !ok && name != "" {
		h.o.Members.Ask(ctx, name)
		info, ok = h.o.Slots.Read(name)
	}
	return info, ok
}

// makeSlot makes a persistent slot by Create or Adopt of slot.Table. It is everywhere when makeSlot returns, as far as
// members can be reached.
func (h *Hub) makeSlot(ctx context.Context, name string, s slot.Seed, pid int32,
	create func(shared.State, slot.Seed, int32) error,
) error {
	claim, err := h.o.Members.Claim(ctx, shared.Create, name, "", pid)
	if err != nil {
		return err
	}
	if err := create(claim, s, pid); err != nil {
		return err
	}
	h.o.Members.Told(ctx, name)
	return nil
}

// takeSlot makes a slot active for a session, wherever it was used before.
func (h *Hub) takeSlot(ctx context.Context, name string, who SessionInfo) (*slot.Guard, error) {
	info, _ := h.o.Slots.Read(name)
	claim, err := h.sharing(info).Claim(ctx, shared.Attach, name, who.ApplicationName, who.PID)
	if err != nil {
		return nil, err
	}
	if info.Lost == slot.WALRemoved && len(h.sharing(info).KeptBy(name)) > 0 {
		h.o.Slots.Revive(name)
		h.log.Info("a slot whose WAL was given up here is used again: other members keep it", "slot", name)
	}
	guard, err := h.o.Slots.Acquire(claim, who.PID)
	if err == nil && info.Foreign {
		h.log.Info("took a slot over from another member", "slot", name, "member", info.Owner,
			"restart_lsn", info.Restart)
	}
	return guard, err
}

// dropSlot drops a slot for all members; with wait once nobody uses it. was is what is known of it, the zero Info for
// nothing.
func (h *Hub) dropSlot(ctx context.Context, was slot.Info, name string, wait bool, pid int32) error {
	tick := time.NewTicker(dropPoll)
	defer tick.Stop()
	for {
		freed := h.o.Slots.Freed(name)
		claim, err := h.sharing(was).Claim(ctx, shared.Drop, name, "", pid)
		if err == nil {
			if err = h.o.Slots.Drop(claim, pid); err == nil {
				h.sharing(was).Told(ctx, name)
				return nil
			}
		}
		if refusal := (*pgerror.Error)(nil); !wait || !errors.As(err, &refusal) || refusal.Code != pgerror.ObjectInUse {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-freed:
		case <-tick.C: // a session at another member may have let go of it
		}
	}
}

// KeepsWAL reports whether this proxy keeps the WAL that a slot needs.
func (h *Hub) KeepsWAL(s slot.Info) bool {
	id, ok := h.o.Store.Identity()
	if s.Lost != slot.NotLost || s.Unkept || !ok {
		return false
	}
	return s.Restart == lsn.Invalid || id.SegSize.Segno(s.Restart) >= id.SegSize.Segno(h.o.Store.Oldest())
}

// SlotsHeard merges feedback anew after slots of other members were heard of: they hold xmin, too.
func (h *Hub) SlotsHeard() { h.mergeFeedback() }
