package fanout

import (
	"slices"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/internal/afterlock"
)

// feedback holds the merged hot standby feedback for one consumer, the walreceiver.
type feedback struct {
	changed chan struct{} // one slot

	mu      afterlock.Mutex
	merged  merged
	settled bool
	leftOut uint64 // how often a value began to be left out
}

func newFeedback() *feedback { return &feedback{changed: make(chan struct{}, 1)} }

// Feedback is what the standbys together need, to be sent upstream: the oldest xmin and the oldest
// catalog_xmin of all attached standbys and of all slots, also those of absent standbys. Zero means
// that nobody needs anything. false: send nothing, since after a start not everybody had the time to
// come back (R20).
func (h *Hub) Feedback() (Feedback, bool) {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.merged.Feedback, f.settled
}

// FeedbackChanged has a token after Feedback changed. One slot, for one consumer.
func (h *Hub) FeedbackChanged() <-chan struct{} { return h.feedback.changed }

// FeedbackStatus is what became of the standbys' feedback, for /status.
type FeedbackStatus struct {
	Settled bool // it is sent upstream
	Feedback
	XminOf, CatalogXminOf string           // the standby or slot that pins it, "" for none
	LeftOut               []string         // values that the primary would find insane (R20)
	Capped                []string         // older than feedback.max_age
	NextXID               copyboth.FullXID // 0: not known
	LeftOutTotal          uint64           // values that began to be left out since the start
}

// FeedbackStatus is a snapshot of the newest merge.
func (h *Hub) FeedbackStatus() FeedbackStatus {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.merged
	return FeedbackStatus{
		NextXID: m.next,
		Settled: f.settled, Feedback: m.Feedback, XminOf: m.xminOf, CatalogXminOf: m.catalogOf,
		LeftOut: slices.Clone(m.insane), Capped: slices.Clone(m.capped), LeftOutTotal: f.leftOut,
	}
}

func (f *feedback) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled = true
	f.nudge()
}

func (f *feedback) nudge() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// mergeFeedback computes the merged value anew. Called when a standby reports, goes, or a slot goes.
// Merging under f.mu orders concurrent merges: the last one has seen everything.
func (h *Hub) mergeFeedback() {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	values := h.feedbackValues()
	next := copyboth.FullXID(0)
	if h.o.NextXID != nil {
		if x, known := h.o.NextXID(); known {
			next = x
		}
	}
	maxAge := h.tuning.Load().FeedbackMaxAge
	now := merge(values, next, copyboth.FullXID(maxAge))
	for _, name := range fresh(now.insane, f.merged.insane) {
		f.leftOut++
		f.mu.After(func() {
			h.log.Warn("hot standby feedback is out of range and left out", "standby", name, "next_xid", uint64(next))
		})
	}
	for _, name := range fresh(now.capped, f.merged.capped) {
		f.mu.After(func() {
			h.log.Warn("hot standby feedback is older than feedback.max_age: the primary keeps that much only",
				"standby", name, "max_age", maxAge)
		})
	}
	now.next = next
	changed := now.Feedback != f.merged.Feedback
	f.merged = now
	if changed {
		f.nudge()
	}
}

// fresh is what is in now and was not before.
func fresh(now, before []string) (names []string) {
	for _, n := range now {
		if !slices.Contains(before, n) {
			names = append(names, n)
		}
	}
	return names
}

// demand is the feedback of one standby or slot.
type demand struct {
	name string
	Feedback
}

// feedbackValues are those of standbys without slot and of all slots, used or not: the slot of an
// attached standby holds what it reported.
func (h *Hub) feedbackValues() []demand {
	var values []demand
	for _, s := range h.registry.sessions() {
		if s.slot == "" {
			values = append(values, demand{s.who.ApplicationName, s.sender.Status().Feedback})
		}
	}
	for _, s := range h.o.Slots.List() {
		if s.Lost == slot.NotLost {
			values = append(values, demand{s.Name, Feedback{Xmin: s.Xmin, CatalogXmin: s.CatalogXmin}})
		}
	}
	return values
}

// maxXIDAge is how old an xmin can be: 32-bit transaction IDs compare within half of their circle.
const maxXIDAge = 1 << 31

// xidSlack is how far beyond the last known next transaction ID a value may be: standbys are asked all
// the time, the primary every few seconds. What is insane is off by whole epochs.
const xidSlack = 1 << 24

// merged is the outcome of a merge.
type merged struct {
	Feedback
	next              copyboth.FullXID
	xminOf, catalogOf string   // whose values these are
	insane, capped    []string // who was left out, and whose value was made newer
}

// merge is the oldest of the valid values, xmin and catalog_xmin apart (facts F5). 64-bit values
// need no circle. A value that the primary would find insane, newer than next or older than 2^31
// before it, would make it ignore the whole message, so it is left out and named (R20). maxAge (0: off)
// bounds how far before next one standby can hold. Without next (0) nothing can be judged.
func merge(values []demand, next, maxAge copyboth.FullXID) (m merged) {
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

// capAge is x, or the oldest that maxAge allows.
func capAge(x, next, maxAge copyboth.FullXID) copyboth.FullXID {
	if x == 0 || maxAge == 0 || next <= maxAge || x >= next-maxAge {
		return x
	}
	for x = next - maxAge; uint32(x) < walsender.FirstNormalXID; {
		x++ // an epoch has no such transactions
	}
	return x
}

// UpstreamFeedback is the merged feedback in the form that a walreceiver asks for.
type UpstreamFeedback struct{ h *Hub }

// UpstreamFeedback is [Hub.Feedback] and [Hub.FeedbackChanged] for the walreceiver.
func (h *Hub) UpstreamFeedback() UpstreamFeedback { return UpstreamFeedback{h} }

// Merged is the message to send, SentAt apart; false: send nothing, not even zeros, until Changed.
func (u UpstreamFeedback) Merged() (copyboth.HotStandbyFeedback, bool) {
	f, settled := u.h.Feedback()
	return copyboth.HotStandbyFeedback{Xmin: f.Xmin, CatalogXmin: f.CatalogXmin}, settled
}

// Changed has a token after Merged changed. One slot, for one consumer.
func (u UpstreamFeedback) Changed() <-chan struct{} { return u.h.FeedbackChanged() }
