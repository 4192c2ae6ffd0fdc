package fanout

import (
	"math"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// hold is the slot of a session as its sender sees it. restart_lsn follows the standby's reports, also backward, but
// not to positions at which the store has no WAL. A standby that is served by a backfill reports positions from before
// the store began. A slot there would be lost for WAL that this proxy never held for it. The reader keeps WAL that is
// fetched for the standby. A slot that was taken over does follow such reports: the primary's own still holds that WAL.
//
// One goroutine at a time calls Confirm.
type hold struct {
	*slot.Guard
	h    *Hub
	name string
	last lsn.LSN // restart_lsn as set last; at first everything is backward
}

func (h *Hub) hold(g *slot.Guard, name string) *hold {
	return &hold{Guard: g, h: h, name: name, last: math.MaxUint64}
}

// Confirm confirms the slot's position by [slot.Guard.Confirm]. While the slot moves backward nothing is removed, as in
// reserve.
func (s *hold) Confirm(flush lsn.LSN) {
	if flush >= s.last {
		s.last = flush
		s.Guard.Confirm(flush)
		return
	}
	s.h.reserving.Add(1)
	defer s.h.reserving.Add(-1)
	if info, _ := s.h.o.Slots.Read(s.name); info.Real != slot.Adopted {
		flush = max(flush, s.h.o.Store.Oldest())
	}
	s.last = flush
	s.Guard.Confirm(flush)
}
