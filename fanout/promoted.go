package fanout

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// PrimaryServer returns the names by which the present primary would appear as a standby: its primary_slot_name and
// cluster_name, and the host at which it is reached. Zero: not known.
type PrimaryServer func() slot.Primary

// leftBehind knows the slots that nobody used when another server became the primary (ruling R41): the slot of the
// server that was promoted is among them, as a rule.
type leftBehind struct {
	mu    sync.Mutex
	slots map[string]LeftSlot
	seen  time.Time // when another server was last seen to be the primary
}

// LeftSlot is a slot that nobody has used since another server became the primary.
type LeftSlot struct {
	Name     string
	Timeline lsn.TimelineID // that server's
	Promoted bool           // that server used it last, as [slot.Promoted] shows
	Released bool           // it holds no WAL beyond wal.keep_size
}

// switched takes note that the store follows another server's timeline: what slots hold by xmin was said to the one
// before. Who is shown to have been promoted has its slot let go.
func (h *Hub) switched(timeline lsn.TimelineID) {
	h.left.mu.Lock()
	h.left.seen = time.Now()
	h.left.mu.Unlock()
	h.o.Slots.Switched()
	h.mergeFeedback()
	h.feedback.forgetEarly()
	h.lookForPromoted(timeline, false)
}

// resettled runs FeedbackSettle later: who follows the new timeline has said what it needs, and a promoted server whose
// session still stood is gone.
func (h *Hub) resettled(timeline lsn.TimelineID) {
	h.o.Slots.Settled()
	h.mergeFeedback()
	h.lookForPromoted(timeline, true)
}

func (h *Hub) lookForPromoted(timeline lsn.TimelineID, settled bool) {
	release := !h.tuning.Load().KeepPromoted
	h.left.mu.Lock()
	defer h.left.mu.Unlock()
	all := h.o.Slots.List()
	used, shown := h.usedByPrimary(all, timeline)
	for _, s := range all {
		promoted := shown && s.Name == used
		switch {
		case s.Temporary || s.ActivePID != 0 || s.Foreign || s.Lost != slot.NotLost || !promoted && !settled:
			continue
		case h.left.slots[s.Name].Promoted && h.left.slots[s.Name].Timeline == timeline:
			continue // said
		}
		one := LeftSlot{Name: s.Name, Timeline: timeline, Promoted: promoted}
		if promoted && release {
			one.Released = h.o.Slots.Unreserve(s.Name) || s.Restart == lsn.Invalid
		}
		if h.left.slots == nil {
			h.left.slots = map[string]LeftSlot{}
		}
		h.left.slots[s.Name] = one
		if promoted {
			h.log.Warn("the server that is the primary now used this slot: drop it, or let that server come back "+
				"with it", "slot", s.Name, "timeline", uint32(timeline), "restart_lsn", s.Restart,
				"holds_wal", !one.Released)
		}
	}
	h.o.Store.SetRetention(h.retainFrom) // there may be something to remove
}

// usedByPrimary returns the slot that the server which is the primary now used last. shown false: nothing shows which
// one that is. The caller holds left.mu.
func (h *Hub) usedByPrimary(all []slot.Info, timeline lsn.TimelineID) (name string, shown bool) {
	if h.o.PrimaryServer == nil {
		return "", false
	}
	var slotless []slot.User
	for _, s := range h.registry.sessions() {
		if s.slot == "" {
			slotless = append(slotless, userOf(s.who, 0))
		}
	}
	p := h.o.PrimaryServer()
	p.Timeline, p.Seen = timeline, h.left.seen
	return slot.Promoted(all, slotless, p)
}

// LeftSlots returns the slots that nobody has used since another server became the primary, by name.
func (h *Hub) LeftSlots() (left []LeftSlot) {
	h.left.mu.Lock()
	defer h.left.mu.Unlock()
	for name, l := range h.left.slots {
		s, exists := h.o.Slots.Read(name)
		if !exists || s.ActivePID != 0 || s.Lost != slot.NotLost {
			delete(h.left.slots, name)
			continue
		}
		left = append(left, l)
	}
	slices.SortFunc(left, func(a, b LeftSlot) int { return strings.Compare(a.Name, b.Name) })
	return left
}
