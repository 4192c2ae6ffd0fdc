package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walstore"
)

// storeVoteInterval spaces the looks at the volume. Slots are held to their limits as often, so that a slot is
// invalidated before the vote is withdrawn.
const storeVoteInterval = time.Second

// storeVote withdraws the vote of this proxy's store instead of deleting WAL that was voted for (R4). It does so when
// the volume is out of space and nothing else is left to remove. The vote comes back with the space.
type storeVote struct {
	store    *walstore.Store
	hub      *fanout.Hub
	node     *cluster.Node
	settings *settings
	log      *slog.Logger
}

// Run looks until ctx ends.
func (b *storeVote) Run(ctx context.Context) error {
	tick := time.NewTicker(storeVoteInterval)
	defer tick.Stop()
	withdrawn := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s := b.look()
		if s.Withdraws(withdrawn) == withdrawn {
			continue
		}
		withdrawn = !withdrawn
		b.node.Withdraw(withdrawn)
		if withdrawn {
			b.log.Error("the volume is out of space and only WAL for which this store voted could be removed: its "+
				"vote is withdrawn until standbys have flushed that WAL or there is space",
				"voted_bytes", s.Voted, "free_bytes", s.Free, "voted_from_lsn", b.hub.VotedFrom())
		} else {
			b.log.Info("the store votes again", "voted_bytes", s.Voted, "free_bytes", s.Free)
		}
	}
}

func (b *storeVote) look() ledger.Space {
	c := b.settings.now()
	total, free, err := preflight.Volume(c.DataDir)
	id, _ := b.store.Identity()
	return ledger.Space{
		Full: b.store.Full(), Known: err == nil, Free: free, MinFree: c.WAL.MinFree.Of(total),
		Voted: b.hub.VotedBytes(b.store.Positions().Flushed), Segment: int64(id.SegSize),
	}
}
