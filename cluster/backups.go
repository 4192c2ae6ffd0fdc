package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
)

// backupPatience bounds BacksUp's wait for a member that is heard and does not answer, as its disk stands still. Until
// then a voter that applies nothing does not count, and commits may wait for it.
const backupPatience = 10 * time.Second

// BacksUp reports whether a base backup of that application_name runs through another member. Each one that can be
// reached has said so after the call. Of one that cannot be reached, or is of release v0.1.0, nothing is known: false.
// It blocks until all have answered, backupPatience at most, or until ctx ends.
func (n *Node) BacksUp(ctx context.Context, name string) bool {
	if len(n.o.Members) == 0 || n.o.Outbox == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, backupPatience)
	defer cancel()
	n.askAll(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.ledger.Members(time.Now()), func(m ledger.Member) bool {
		return m.Node != n.o.Name && m.Reached && n.statuses.heard[m.Node].BacksUp(name)
	})
}
