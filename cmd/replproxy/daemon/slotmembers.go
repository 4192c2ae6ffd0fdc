package daemon

import (
	"context"
	"net"
	"slices"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/proxy/config"
)

// clusterNode returns this proxy's name among those that share slots; "" without a cluster.
func clusterNode(c *config.Config) string {
	if c.Cluster.Bind == "" {
		return ""
	}
	return c.Name
}

// number tells this member's backend pids from another's, since clients name slots by them; 0 without a cluster.
func (m *membership) number(own string) uint8 {
	if m == nil {
		return 0
	}
	return uint8(1 + slices.Index(slices.Sorted(slices.Values(m.members.Names())), own)) // vote.MaxMembers are fewer
}

// slotMembers is a membership as package sharing sees it.
type slotMembers struct {
	*membership
	node *cluster.Node
}

// Names returns the names of the other members.
func (m *slotMembers) Names() []string { return m.others(m.self.Name) }

// Up reports whether gossip knows an address at which the member is up.
func (m *slotMembers) Up(member string) bool {
	return slices.Contains(m.live(m.self.Name), member)
}

// Hears reports whether the link to the member has had an answer.
func (m *slotMembers) Hears(member string) bool {
	return slices.ContainsFunc(m.link.Status().Peers, func(p link.PeerStatus) bool {
		return p.Name == member && !p.Heard.IsZero()
	})
}

// Forgotten returns the names of the members that an operator has removed (replproxy forget).
func (m *slotMembers) Forgotten() []string { return m.node.Forgotten() }

// Open connects to a member over the cluster's port and returns the protocol that it chose. It blocks until then, or
// until ctx ends, and fails while the member is not up.
func (m *slotMembers) Open(ctx context.Context, member string, protocols ...string) (net.Conn, string, error) {
	return m.link.Open(ctx, member, protocols...)
}
