package walreceiver

import (
	"context"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// bears returns the horizon of the slot that the stream is about to use, if the slot must not be raised yet. Such a
// slot may bear the feedback of standbys without a slot from before the start. The zero value allows every horizon. It
// is also returned if the slot can't be asked. The horizon that slots are known to need is then said at once, because a
// primary that crashed may have forgotten it (ruling R44).
func (st *Stream) bears(ctx context.Context) (borne copyboth.HotStandbyFeedback) {
	r := st.r
	if r.o.Feedback == nil || st.slotless() || r.o.HeldSlot == nil {
		return borne
	}
	if _, settled := r.o.Feedback.Merged(); settled {
		return borne
	}
	if st.ruleGated() {
		return st.ruleGate.borne
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	borne, err := r.o.HeldSlot.Bears(ctx, st.conn.Endpoint())
	if err != nil {
		r.log.Debug("cannot ask what the slot bears", "slot", r.o.Slot, "err", err)
	}
	return borne
}

// catalogBeside returns the catalog_xmin of our own slot while the stream does without it.
func (st *Stream) catalogBeside() copyboth.FullXID {
	if st.r.o.HeldSlot == nil || st.member {
		return 0
	}
	return st.r.o.HeldSlot.CatalogXmin()
}

// FeedbackDue has the reporter look again at what the upstream is told of feedback. Any goroutine may call it.
func (r *Receiver) FeedbackDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil {
		r.live.wake()
	}
}
