package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Ahead returns the members that have WAL beyond at of this node's timeline, by name. They can be reached, votes count
// there, as they are not fenced, and their WAL is not known to differ from this store's. What they said may be some
// seconds old.
func (n *Node) Ahead(at lsn.LSN) (members []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	own := n.o.Store.Positions()
	for _, m := range n.ledger.Members(time.Now()) {
		a, said := n.statuses.heard[m.Node]
		if m.Node == n.o.Name || !said || !m.Reached || m.Contested || m.Relapsed {
			continue
		}
		same := own.Timeline != 0 && a.System == own.System && a.Timeline == own.Timeline && a.Fenced < own.Timeline
		differs, _ := n.otherWAL(tailStatus(own), a.MemberStatus)
		if same && differs == lsn.Invalid && a.Received > at {
			members = append(members, m.Node)
		}
	}
	slices.Sort(members)
	return members
}
