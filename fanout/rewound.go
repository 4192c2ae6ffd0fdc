package fanout

import (
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// followTimeline brings slots back to the position at which the history of a new timeline has left the one before. A
// standby beyond that point returns from below it, by pg_rewind or a new copy, and needs WAL from there. followed is
// the timeline for which that was done last. It is 0 at first: then only positions that the store can't have are moved.
// The result is the next followed.
func (h *Hub) followTimeline(followed lsn.TimelineID) lsn.TimelineID {
	pos, history := h.o.Store.Served(), h.o.Store.History()
	if pos.Timeline == followed || pos.Timeline == 0 || pos.Timeline != history.Timeline {
		return followed // nothing new, or half of it: the next wake-up shows the whole
	}
	limit := pos.End
	if followed != 0 {
		if at, _, ok := history.SwitchPoint(followed); ok {
			limit = at
		}
	}
	for _, was := range h.o.Slots.Rewind(limit) {
		h.tellRewound(was, followed, pos.Timeline, limit)
	}
	return pos.Timeline
}

// tellRewound tells that a slot was brought back to restart, and what becomes of its standby. One that a member serves
// now is on whichever timeline that member is: its position says nothing of the timeline that was followed here, and
// that member tells of it. followed is as in followTimeline, t the timeline now.
func (h *Hub) tellRewound(was slot.Info, followed, t lsn.TimelineID, restart lsn.LSN) {
	if was.Foreign && was.ActivePID != 0 {
		return
	}
	had := lsn.Point{Timeline: followed, LSN: was.Restart}
	if followed == 0 {
		had.Timeline = t
	}
	log := h.log.With("slot", was.Name, "timeline", uint32(t), "was_lsn", was.Restart, "restart_lsn", restart)
	switch {
	case h.o.Losses.GaveUp(had):
		log.Warn("the standby of a slot may have WAL that was given up: make it anew by pg_basebackup, not by " +
			"pg_rewind, which compares timelines only; the slot holds WAL from restart_lsn on")
	case followed == 0:
		log.Warn("the slot of a standby was beyond the end of this store, which begins anew or has lost WAL: the " +
			"standby is made anew by pg_basebackup if it does not come back by itself; the slot holds WAL from " +
			"restart_lsn on")
	default:
		log.Warn("the standby of a slot may have WAL that the new timeline lacks: if it does not come back by itself " +
			"it needs pg_rewind, or is made anew; the slot holds WAL from restart_lsn on")
	}
}
