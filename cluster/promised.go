package cluster

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// covered is the highest position that a rule ever covered here on one timeline since the start: another
// member that heard the same acks may have reported it. Guarded by Node.mu.
type covered struct {
	timeline lsn.TimelineID
	at       lsn.LSN
	durable  lsn.LSN // of flush and apply: what a crash of voters does not take
}

func (c *covered) note(t lsn.TimelineID, p lsn.Progress) {
	if c.timeline != t {
		*c = covered{timeline: t}
	}
	c.durable = max(c.durable, p.Flush, p.Apply)
	c.at = max(c.at, c.durable, p.Write)
}

// Promised is a bound of what the members of the cluster reported under a rule of WAL of the timeline that
// this store is on (ruling R3): a timeline that lacks some of it is not to be followed without the operator, though
// this node may have reported nothing. It is what a quorum is known here to have, and what members last
// said that they reported. unheard is a member that has said nothing since the start and still may: it may
// have reported anything. One that stays away longer than members take to be heard of is not waited for: it
// could be gone with the primary. 0: there is no other member, or no rule was ever in use.
func (n *Node) Promised() (bound lsn.LSN, unheard string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	ruled := n.evaluate(now).Ruled
	gone := map[string]bool{}
	for _, name := range n.ledger.Forgotten() {
		gone[name] = true
	}
	for _, name := range n.o.Members {
		a, said := n.accounts.heard[name]
		switch {
		case said && a.System == n.at.System && a.Timeline == n.at.Timeline:
			bound = max(bound, a.Promised)
		case !said && ruled && !gone[name] && now.Sub(n.began) < n.o.Timeout:
			unheard = name
		}
	}
	if len(n.o.Members) > 0 && n.covered.timeline == n.at.Timeline {
		bound = max(bound, n.covered.at)
	}
	return bound, unheard
}
