package fanout

import (
	"slices"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/copyboth"
)

// olderOf returns the older of two, where 0 is none.
func olderOf(a, b copyboth.FullXID) copyboth.FullXID {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// nextXID returns the primary's next transaction; 0: not known.
func (h *Hub) nextXID() copyboth.FullXID {
	if h.o.NextXID != nil {
		if x, known := h.o.NextXID(); known {
			return x
		}
	}
	return 0
}

// saneFeedback reports whether a primary would take what a standby says: it ignores both values when one of them is
// off, and goes on with those before (R20).
func (h *Hub) saneFeedback(f Feedback) bool {
	next := h.nextXID()
	return sane(f.Xmin, next) && sane(f.CatalogXmin, next)
}

// fresh returns the names that are in now and not in before.
func fresh(now, before []string) (names []string) {
	for _, n := range now {
		if !slices.Contains(before, n) {
			names = append(names, n)
		}
	}
	return names
}

// namedFeedback is the feedback of one standby or slot.
type namedFeedback struct {
	name string
	Feedback
}

// feedbackValues returns the feedback of standbys without slot, and that of all slots, used or not: the slot of an
// attached standby holds what it reported. Standbys whose last value was insane are named.
func (h *Hub) feedbackValues() (slotless, slots []namedFeedback, insane []string) {
	for _, s := range h.registry.sessions() {
		st := s.sender.Status()
		if s.slot == "" {
			slotless = append(slotless, namedFeedback{s.who.ApplicationName, st.Feedback})
		}
		if st.Insane {
			insane = append(insane, s.who.ApplicationName)
		}
	}
	for _, s := range h.o.Slots.List() {
		if s.Lost == slot.NotLost {
			slots = append(slots, namedFeedback{s.Name, Feedback{Xmin: s.Xmin, CatalogXmin: s.CatalogXmin}})
		}
	}
	return slotless, slots, insane
}

// maxXIDAge bounds the age of an xmin: 32-bit transaction IDs compare within half of their circle.
const maxXIDAge = 1 << 31

// xidSlack bounds how far beyond the last known next transaction ID a value may be. Standbys are asked all the time,
// the primary every few seconds. An insane value is off by whole epochs.
const xidSlack = 1 << 24

// merged is the outcome of a merge.
type merged struct {
	Feedback
	next              copyboth.FullXID
	xminOf, catalogOf string   // whose values these are
	insane, capped    []string // who was left out, and whose value was made newer
}

// merge returns the oldest of the valid values, xmin and catalog_xmin apart (facts F5). 64-bit values need no circle. A
// value is insane to the primary if it is newer than next or older than 2^31 before it. It would make the primary
// ignore the whole message, so it is left out and named (R20). maxAge (0: off) bounds how far before next one standby
// can hold. Without next (0) nothing can be judged.
func merge(values []namedFeedback, next, maxAge copyboth.FullXID) (m merged) {
	for _, v := range values {
		if !sane(v.Xmin, next) || !sane(v.CatalogXmin, next) {
			m.insane = append(m.insane, v.name)
			continue
		}
		xmin, catalog := capAge(v.Xmin, next, maxAge), capAge(v.CatalogXmin, next, maxAge)
		if xmin != v.Xmin || catalog != v.CatalogXmin {
			m.capped = append(m.capped, v.name)
		}
		if xmin != 0 && (m.Xmin == 0 || xmin < m.Xmin) {
			m.Xmin, m.xminOf = xmin, v.name
		}
		if catalog != 0 && (m.CatalogXmin == 0 || catalog < m.CatalogXmin) {
			m.CatalogXmin, m.catalogOf = catalog, v.name
		}
	}
	return m
}

func sane(x, next copyboth.FullXID) bool {
	return x == 0 || next == 0 || x <= next+xidSlack && next < x+maxXIDAge
}

// capAge returns x, or the oldest that maxAge allows, counted back from next. An x of 0 stays 0; a maxAge of 0 allows
// any.
func capAge(x, next, maxAge copyboth.FullXID) copyboth.FullXID {
	if x == 0 || maxAge == 0 || next <= maxAge || x >= next-maxAge {
		return x
	}
	for x = next - maxAge; uint32(x) < walsender.FirstNormalXID; {
		x++ // an epoch has no such transactions
	}
	return x
}
