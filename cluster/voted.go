package cluster

import (
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// retained holds the position from which on WAL of a timeline is kept because this node's store votes; Invalid: none is
// kept for that.
type retained struct {
	timeline lsn.TimelineID
	from     lsn.LSN
}

// RetainUntil sets how many standbys must have flushed WAL that this node's store voted for before it may be removed
// (wal.retain_until_standbys, ruling R4). 0: none need to.
func (n *Node) RetainUntil(standbys int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.until = standbys
	n.retain(time.Now())
}

// VotedFrom returns the position from which on WAL of timeline t is kept because this node's store votes; Invalid: for
// votes nothing is. It is at most a second old, takes no lock and may be called with any.
func (n *Node) VotedFrom(t lsn.TimelineID) lsn.LSN {
	r := n.retained.Load()
	switch {
	case r == nil:
		return lsn.Invalid
	case r.from != lsn.Invalid && r.timeline != t:
		return ledger.Everything // nobody was asked yet about this one
	}
	return r.from
}

// retain computes the position that VotedFrom returns. Until members that have said nothing have had the time to, their
// rules may count this node's store. The caller holds mu.
func (n *Node) retain(now time.Time) {
	p := n.o.Store.Positions()
	assume := false
	if now.Sub(n.began) < n.o.Timeout {
		for _, m := range n.ledger.Members(now) {
			assume = assume || !m.Heard
		}
	}
	n.retained.Store(&retained{p.Timeline, n.ledger.Retain(now, p.System, p.Timeline, n.until, assume)})
}
