package cluster

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/loss"
)

// GivenUp is a loss of WAL that the store's history had, and what the other members say of it.
type GivenUp struct {
	loss.Loss
	// Elsewhere are members that have given it up, as they say. Untold know of it and do not say so: they may have the
	// lost WAL still. Of a member that says nothing of it nothing is known.
	Elsewhere, Untold []string
}

// GivenUp returns the losses that concern the store, and who has given them up. Any goroutine may ask.
func (n *Node) GivenUp() []GivenUp {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.givenUp()
}

// givenUp returns the losses that concern the store. The caller holds mu.
func (n *Node) givenUp() (all []GivenUp) {
	for _, l := range n.losses {
		if l.TakenBack || !n.concerns(l, n.at) {
			continue
		}
		row := GivenUp{Loss: l}
		for _, m := range n.others() {
			switch {
			case n.statuses.heard[m].GivenUp.Brings(l):
				row.Elsewhere = append(row.Elsewhere, m)
			case slices.Contains(l.Heard, m):
				row.Untold = append(row.Untold, m)
			}
		}
		all = append(all, row)
	}
	return all
}
