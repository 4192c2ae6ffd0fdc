package cluster

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TakeBack takes back, durably, that WAL of timeline t from from to to is lost. This proxy has given it up, has it
// still, and follows a server that has it. Standbys with that WAL count again. The loss stays while another member has,
// or may have, what was written instead: it may have served that to standbys. TakeBack blocks for the disk.
func (n *Node) TakeBack(t lsn.TimelineID, from, to lsn.LSN) error {
	n.mu.Lock()
	system := n.o.Store.Positions().System
	s, done := n.losses.TakeBack(system, t, from, to, func(l loss.Loss) bool {
		return slices.ContainsFunc(n.others(), func(m string) bool {
			a, heard := n.statuses.heard[m]
			return !heard || a.GivenUp.Brings(l)
		})
	})
	n.aside = 0
	n.setLosses(s)
	n.mu.Unlock()
	if !done {
		n.log.Warn("WAL that was given up is kept here, and others may have got what was written instead: "+
			"standbys with that WAL count when they are named by made-anew",
			"timeline", t, "from_lsn", from, "to_lsn", to)
	}
	return n.saveLosses()
}
