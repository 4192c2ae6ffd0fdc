package walreceiver

import (
	"context"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// bears returns what the slot that the stream is about to use bears, if it must not be raised yet: it may bear what
// standbys without a slot said before the start. Where that can't be asked, what slots are known to need is said at
// once: a primary that crashed may have forgotten it (ruling R44).
func (st *Stream) bears(ctx context.Context) (borne copyboth.HotStandbyFeedback) {
	r := st.r
	merged := mergedOf(r.o.Feedback)
	if merged == nil || st.slotless() || r.o.Keeper == nil {
		return borne
	}
	if _, settled := merged(); settled {
		return borne
	}
	if st.gated() {
		return st.gate.borne
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	borne, err := r.o.Keeper.Bears(ctx, st.conn.Endpoint())
	if err != nil {
		r.log.Debug("cannot ask what the slot bears", "slot", r.o.Slot, "err", err)
	}
	return borne
}

// catalogBeside returns the catalog_xmin of our own slot while the stream does without it.
func (st *Stream) catalogBeside() copyboth.FullXID {
	if st.r.o.Keeper == nil || st.member {
		return 0
	}
	return st.r.o.Keeper.CatalogXmin()
}

// FeedbackDue has the reporter look again at what the upstream is told of feedback. Any goroutine may call it.
func (r *Receiver) FeedbackDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil {
		r.live.wake()
	}
}
