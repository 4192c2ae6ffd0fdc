package walreceiver

import (
	"context"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// bears returns what the slot that the stream is about to use bears, if it must not be raised yet: it may bear what
// standbys without a slot said before the start. Where that can't be asked, what slots are known to need is said at
// once: a primary that crashed may have forgotten it (ruling R44).
func (r *Receiver) bears(ctx context.Context, s *upstream.Session) (borne copyboth.HotStandbyFeedback) {
	merged := mergedOf(r.o.Feedback)
	if merged == nil || r.slotless() || r.o.Keeper == nil {
		return borne
	}
	if _, settled := merged(); settled {
		return borne
	}
	if r.gated() {
		return r.gate.borne
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	borne, err := r.o.Keeper.Bears(ctx, s.Endpoint)
	if err != nil {
		r.log.Debug("cannot ask what the slot bears", "slot", r.o.Slot, "err", err)
	}
	return borne
}

// catalogBeside returns the catalog_xmin of our own slot while the stream does without it.
func (r *Receiver) catalogBeside() copyboth.FullXID {
	if r.o.Keeper == nil || r.member != "" {
		return 0
	}
	return r.o.Keeper.CatalogXmin()
}

// FeedbackDue has the reporter look again at what the upstream is told of feedback. Any goroutine may call it.
func (r *Receiver) FeedbackDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil {
		r.live.wake()
	}
}
