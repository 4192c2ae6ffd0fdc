package daemon

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
)

// storeVoteInterval spaces the looks at the volume. Slots are held to their limits as often, so that a slot is
// invalidated before the vote is withdrawn.
const storeVoteInterval = time.Second

// storeVote has the node withdraw the vote of this proxy's store instead of deleting WAL that was voted for; see
// [cluster.Node.Afford].
type storeVote struct {
	store    *walstore.Store
	hub      *fanout.Hub
	node     *cluster.Node
	settings *settings
	receiver *walsource.Supply
	hears    func(member string) bool // whether a member says that it hears the primary
}

// Run has the node look each storeVoteInterval whether the volume has room for what was voted for. It blocks until ctx
// ends, and returns nil then. Call it once.
func (b *storeVote) Run(ctx context.Context) error {
	tick := time.NewTicker(storeVoteInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.node.Afford(b.look(), b.hub.VotedFrom())
			b.hub.Yield(time.Now(), b.plight())
		}
	}
}

// plight describes the store to [fanout.Hub.Yield].
func (b *storeVote) plight() fanout.Plight {
	at := b.store.Positions().Received
	member, streams := b.receiver.Streams()
	primary := streams && (member == "" || b.hears(member)) // else nobody may let a standby in
	stands := b.receiver.Stuck() && b.store.Paused() && primary
	p := fanout.Plight{Stands: stands, Received: at}
	if stands {
		p.Ahead = b.node.Ahead(at)
	}
	return p
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
