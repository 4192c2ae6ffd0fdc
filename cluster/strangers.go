package cluster

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
)

// Stranger is a proxy that a member has in its configuration and this node has not. It may report to the primary all
// the same, and what it reported is not heard here. So nothing is proven here, and no new timeline is followed, before
// both have the same list.
type Stranger struct{ Name, KnownBy string }

// strangers returns those that members have named since the start, by member. A member that an operator has removed
// names nobody. The caller holds mu.
func (n *Node) strangers() (all []Stranger) {
	known := func(name string) bool {
		is := func(m string) bool { return vote.Fold(m) == vote.Fold(name) }
		return is(n.o.Name) || slices.ContainsFunc(n.o.Members, is)
	}
	for _, member := range n.others() {
		for _, name := range n.statuses.heard[member].Members {
			if !known(name) && !slices.ContainsFunc(all, func(s Stranger) bool { return s.Name == name }) {
				all = append(all, Stranger{Name: name, KnownBy: member})
			}
		}
	}
	return all
}
