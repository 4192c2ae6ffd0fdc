package cluster

import (
	"errors"
	"slices"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// unsettled reports whether a rule has yet to cover what was reported before it.
func unsettled(r vote.Rule) bool { return r.Generation > 0 && !r.Settled }

// settle remembers what the ledger has found out, and lets go what waited for that.
func (n *Node) settle() {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	r, unproven := n.known(), n.unproven
	n.mu.Unlock()
	if unproven { // a refused start leaves no memory
		return
	}
	before := n.forgotten
	if err := errors.Join(n.remember(r), n.rememberLives()); err != nil {
		n.log.Error("cannot remember the rule and who is back, retrying", "err", err)
		return
	}
	for _, name := range before {
		if !slices.Contains(r.forgotten, name) {
			n.log.Info("a forgotten member is back and counts again", "member", name)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settling && !unsettled(r.Rule) {
		n.settling = false
		n.touch()
	}
}

// beginning is that of an unsettled rule that a start finds: all that the store has had. A change whose save
// failed may be on the disk all the same, while the rule before it went on.
func beginning(r vote.Rule, p Positions) (lsn.TimelineID, lsn.LSN) {
	switch p.Timeline {
	case 0: // the store was begun anew: it does not know
		return r.Timeline, r.From
	case r.Timeline:
		return r.Timeline, max(r.From, p.reported())
	}
	return p.Timeline, p.reported()
}

// given are the positions of l that may be reported. Until it is durable that the rule covers its beginning,
// they are at most that, and what the rule before it covers as well: a rule that is dropped before leaves no
// trace, so nothing may rest on it alone. The beginning is a position of the rule's timeline: of another one
// nothing was reported before. The caller holds mu, and l is of n.at.
func (n *Node) given(l ledger.Limits) lsn.Progress {
	p := l.Progress
	if n.unproven {
		return lsn.Progress{}
	}
	if n.settling {
		p = n.upTo(n.ledger.State().Rule, quorum.Least(p, n.before))
	}
	if unsettled(n.coming) {
		p = n.upTo(n.coming, p)
	}
	return p
}

// upTo is p up to the beginning of r. The caller holds mu.
func (n *Node) upTo(r vote.Rule, p lsn.Progress) lsn.Progress {
	if r.Timeline != n.at.Timeline {
		return lsn.Progress{}
	}
	return p.UpTo(r.From)
}
