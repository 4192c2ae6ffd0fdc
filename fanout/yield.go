package fanout

import (
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// yieldAfter is the time for which a store takes no WAL, although the primary has more, before its voters are sent to a
// member. A disk that is slow for a moment, and segments that are removed to make room, take less.
const yieldAfter = 10 * time.Second

// Plight describes a store that may take no more WAL.
type Plight struct {
	Stands   bool     // the disk takes nothing and the memory for it is used up, while the primary is connected
	Received lsn.LSN  // end of its WAL
	Ahead    []string // members that have more of the same WAL
}

// yielding decides when voters are sent to a member. It is pure.
type yielding struct {
	received lsn.LSN
	since    time.Time // zero: the store takes WAL
}

// step returns the members that voters are to go to, at the time now; none: they stay. A store never yields to a member
// that has no more than it, so of several that stand still the one that has most keeps them.
func (y *yielding) step(now time.Time, p Plight) (to []string) {
	switch {
	case !p.Stands:
		*y = yielding{}
	case y.since.IsZero() || p.Received != y.received:
		*y = yielding{received: p.Received, since: now}
	case now.Sub(y.since) >= yieldAfter:
		return p.Ahead
	}
	return nil
}

// Yield takes the state of the store at the time now, and sends voters to members where this store can't go on. It ends
// their sessions, and [Hub.Yields] refuses new ones. Call it every second, from one goroutine.
func (h *Hub) Yield(now time.Time, p Plight) {
	to := h.yielding.step(now, p)
	was := h.Yielding()
	if len(to) == 0 {
		h.yieldsTo.Store(nil)
		if was != nil {
			h.log.Info("voters are served here again")
		}
		return
	}
	h.yieldsTo.Store(&to)
	if was == nil {
		h.log.Error("the disk takes no WAL, and other members have more: sessions of voters are ended and refused, so "+
			"that their standbys go there", "members", strings.Join(to, ", "), "received_lsn", p.Received)
	}
	for _, s := range h.registry.sessions() {
		if !s.who.Member && s.voter != nil && s.voter.Counts() && s.sender.Status().Sent >= p.Received {
			s.sender.End(yields(to))
		}
	}
}

// Yielding returns the members that voters are sent to; nil: they are served here.
func (h *Hub) Yielding() []string {
	if to := h.yieldsTo.Load(); to != nil {
		return slices.Clone(*to)
	}
	return nil
}

// Yields returns why a standby of that application_name is not to log in here, with 57P03, by which libpq takes the
// next host (PostgreSQL 14 on). nil: it may, or no rule counts it.
func (h *Hub) Yields(applicationName string) error {
	to := h.Yielding()
	if to == nil || h.o.Voter == nil || !h.o.Voter(applicationName).Counts() {
		return nil
	}
	return yields(to)
}

func yields(to []string) error {
	return pgerror.Fatal(pgerror.CannotConnectNow, "the database system is not accepting connections").
		WithDetail("The disk of this proxy takes no WAL, and %s has more.", strings.Join(to, " and "))
}
