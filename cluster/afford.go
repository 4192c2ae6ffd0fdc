package cluster

import (
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Afford withdraws the vote of this node's store, or gives it back, by how much space there is (ruling R4). votedFrom
// is where WAL begins that is kept for votes, for the log. Call it at each look at the volume, from one goroutine.
func (n *Node) Afford(s ledger.Space, votedFrom lsn.LSN) {
	was := n.Withdrawn()
	now := s.Withdraws(was)
	switch {
	case now == was:
	case now:
		n.Withdraw(true)
		n.log.Error("the volume is out of space and only WAL for which this store voted could be removed: its "+
			"vote is withdrawn until standbys have flushed that WAL or there is space",
			"voted_bytes", s.Voted, "free_bytes", s.Free, "voted_from_lsn", votedFrom)
	default:
		n.Withdraw(false)
		n.log.Info("the store votes again", "voted_bytes", s.Voted, "free_bytes", s.Free)
	}
}
