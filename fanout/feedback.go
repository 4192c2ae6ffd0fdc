package fanout

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/internal/afterlock"
	"github.com/replproxy/replproxy/internal/nudge"
)

// mergeDelay spaces the merges of standbys' feedback. A merge looks at all standbys, and one that changes its mind
// without pause must not cost more for it. A value that asks for more than before is taken over at once all the same,
// since the primary may remove rows at any moment.
const mergeDelay = 100 * time.Millisecond

// feedback holds the merged hot standby feedback for the walreceiver, and the part of it that slots bear for who keeps
// the proxy's own slot on the primary. Make it with newFeedback.
type feedback struct {
	changed nudge.Chan
	horizon nudge.Chan // what slots bear has changed
	later   nudge.Chan // something is to be merged after the delay

	mu       afterlock.Mutex
	merged   merged
	slots    Feedback // what slots bear
	early    Feedback // before settled: the oldest of slots since the start, or since another primary came
	mergedAt time.Time
	merges   uint64 // how often that was, since the start
	stale    bool   // something has been said since
	settled  bool
	leftOut  uint64 // how often a value began to be left out
}

func newFeedback() *feedback {
	return &feedback{changed: nudge.New(), horizon: nudge.New(), later: nudge.New()}
}

// Feedback returns the common needs of the standbys, to be sent upstream. They are the oldest xmin and the oldest
// catalog_xmin of all attached standbys and of all slots, also those of absent standbys. Zero means that nobody needs
// anything.
//
// False: not everybody had the time to come back since the start. The values are those of slots alone, which are
// durable. Nothing that the primary holds is to be raised to them (R20, R44).
func (h *Hub) Feedback() (Feedback, bool) {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale && time.Since(f.mergedAt) >= mergeDelay {
		h.mergeLocked()
	}
	if !f.settled {
		return f.early, false
	}
	return f.merged.Feedback, true
}

// Horizon returns the part of Feedback that slots bear, and that a slot on the primary is to bear beyond our end
// (R44). The flag is Feedback's.
func (h *Hub) Horizon() (Feedback, bool) {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.settled {
		return f.early, false
	}
	return f.slots, true
}

// HorizonChanged has a token after Horizon changed. One slot, for one consumer.
func (h *Hub) HorizonChanged() <-chan struct{} { return h.feedback.horizon }

// FeedbackChanged has a token after Feedback changed. One slot, for one consumer.
func (h *Hub) FeedbackChanged() <-chan struct{} { return h.feedback.changed }

// FeedbackStatus shows the result of the last merge, for /status.
type FeedbackStatus struct {
	Settled bool // it is sent upstream
	Feedback
	XminOf, CatalogXminOf string           // the standby or slot that pins it, "" for none
	LeftOut               []string         // values that the primary would find insane (R20)
	Capped                []string         // older than feedback.max_age
	NextXID               copyboth.FullXID // 0: not known
	LeftOutTotal          uint64           // values that began to be left out since the start
}

// FeedbackStatus returns a snapshot of the newest merge.
func (h *Hub) FeedbackStatus() FeedbackStatus {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale {
		h.mergeLocked()
	}
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
	f.changed.Wake()
	f.horizon.Wake()
}

// forgetEarly forgets values that were sent early: another primary has been told nothing yet (R41).
func (f *feedback) forgetEarly() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.early = f.slots
	f.horizon.Wake()
}

// heardFeedback notes the xmins of one standby. Its cost does not depend on how many standbys and slots there are: they
// are merged once in mergeDelay.
func (h *Hub) heardFeedback(name string, v Feedback) {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.mergedAt) >= mergeDelay {
		h.mergeLocked()
		return
	}
	f.lower(name, v, copyboth.FullXID(h.tuning.Load().FeedbackMaxAge))
	if !f.stale {
		f.stale = true
		f.later.Wake()
	}
}

// lower takes over a value that asks for more than the merged one, as [merge] would. The caller holds mu.
func (f *feedback) lower(name string, v Feedback, maxAge copyboth.FullXID) {
	m := &f.merged
	if !sane(v.Xmin, m.next) || !sane(v.CatalogXmin, m.next) {
		return
	}
	xmin, catalog := capAge(v.Xmin, m.next, maxAge), capAge(v.CatalogXmin, m.next, maxAge)
	before := m.Feedback
	if xmin != 0 && (m.Xmin == 0 || xmin < m.Xmin) {
		m.Xmin, m.xminOf = xmin, name
	}
	if catalog != 0 && (m.CatalogXmin == 0 || catalog < m.CatalogXmin) {
		m.CatalogXmin, m.catalogOf = catalog, name
	}
	if m.Feedback != before {
		f.changed.Wake()
	}
}

// mergeStale merges feedback that came within the delay.
func (h *Hub) mergeStale() {
	f := h.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale {
		h.mergeLocked()
	}
}

// mergeFeedback computes the merged value anew. Called when a standby goes, or a slot is made or goes.
// Merging under f.mu orders concurrent merges: the last one has seen everything.
func (h *Hub) mergeFeedback() {
	h.feedback.mu.Lock()
	defer h.feedback.mu.Unlock()
	h.mergeLocked()
}

// mergeLocked merges. The caller holds f.mu.
func (h *Hub) mergeLocked() {
	f := h.feedback
	f.stale, f.mergedAt = false, time.Now()
	f.merges++
	values, slots, insane := h.feedbackValues()
	next := h.nextXID()
	maxAge := h.tuning.Load().FeedbackMaxAge
	now := merge(append(values, slots...), next, copyboth.FullXID(maxAge))
	now.insane = append(now.insane, insane...)
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
		f.changed.Wake()
	}
	borne := merge(slots, next, copyboth.FullXID(maxAge)).Feedback
	if borne != f.slots || f.merges == 1 {
		f.horizon.Wake()
	}
	f.slots = borne
	f.early.Xmin = olderOf(f.early.Xmin, borne.Xmin)
	f.early.CatalogXmin = olderOf(f.early.CatalogXmin, borne.CatalogXmin)
}

// UpstreamFeedback is the merged feedback in the form that a walreceiver asks for.
type UpstreamFeedback struct{ h *Hub }

// UpstreamFeedback returns [Hub.Feedback] and [Hub.FeedbackChanged] for the walreceiver.
func (h *Hub) UpstreamFeedback() UpstreamFeedback { return UpstreamFeedback{h} }

// Merged returns the message to send, SentAt apart; false: nothing that the primary holds is to be raised to it.
func (u UpstreamFeedback) Merged() (copyboth.HotStandbyFeedback, bool) {
	f, settled := u.h.Feedback()
	return copyboth.HotStandbyFeedback{Xmin: f.Xmin, CatalogXmin: f.CatalogXmin}, settled
}

// Changed has a token after Merged changed. One slot, for one consumer.
func (u UpstreamFeedback) Changed() <-chan struct{} { return u.h.FeedbackChanged() }
