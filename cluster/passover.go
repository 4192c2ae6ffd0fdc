package cluster

import (
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
)

// evaluateAll returns an evaluation with the newest positions of all voters. The caller holds mu.
func (n *Node) evaluateAll(now time.Time) ledger.Evaluation {
	n.stale = n.stale || n.behind
	before := n.last.Progress
	e := n.evaluate(now)
	if e.Progress != before { // by time alone: whoever reports has no other reason to look
		n.changed.Wake()
	}
	return e
}

// passesOver reports whether the newest report of a session here, which came while the store was at p, changes none of
// the positions that were evaluated last. Then nobody has to look again. The caller holds mu.
func (n *Node) passesOver(p Positions, incarnation uint64) bool {
	if n.stale || n.establishing || p.System != n.at.System || p.Timeline != n.at.Timeline ||
		!n.ledger.Unmoved(&n.last, incarnation) {
		return false
	}
	n.behind = true
	return true
}
