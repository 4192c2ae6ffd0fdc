package cluster

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// maxCame bounds how many standbys are remembered to have come while WAL is owed. Any more count as not heard, which is
// safe.
const maxCame = 1000

// shown is the highest position that a standby has shown while this node's store owed WAL that may have been reported
// (ruling R42). The bound of the debt is no evidence against a primary, and this is. Guarded by Node.mu.
type shown struct {
	lsn.Point
	received lsn.LSN // by the standby: a record need not end there
	// came has the standbys that have come since the start, by folded name, and the most that each had then.
	came map[string]lsn.LSN
}

// comes notes that a standby has come, with WAL of timeline t up to has, while WAL of timeline on is owed.
func (s *shown) comes(name string, on, t lsn.TimelineID, has lsn.LSN) {
	if name = vote.Fold(name); t > on || has == lsn.Invalid || s.came[name] == lsn.Invalid && len(s.came) == maxCame {
		return
	}
	if s.came == nil {
		s.came = map[string]lsn.LSN{}
	}
	s.came[name] = max(s.came[name], has)
}

// owing reports whether the store owes WAL for having been reported, and nobody has said yet how much.
func (p Positions) owing() bool { return p.Bound > p.Flushed }

// judgeOwing decides by the first report of a session of a standby, on timeline t, whether it may get WAL while the
// store owes some. One that has more than the store waits until the primary has said where it is. What it has counts
// against a primary that has less. The caller holds mu.
func (n *Node) judgeOwing(name string, t lsn.TimelineID, said lsn.Progress) error {
	p := n.o.Store.Positions()
	if p.owing() {
		n.shown.comes(name, p.Timeline, t, max(said.Write, said.Flush, said.Apply))
	}
	if !p.owing() || t != p.Timeline || max(said.Write, said.Flush, said.Apply) <= p.Received {
		return nil
	}
	at := lsn.Point{System: p.System, Timeline: t, LSN: said.Apply}
	if n.shown.System != at.System || n.shown.Timeline != t {
		n.shown = shown{Point: at, came: n.shown.came}
	}
	n.shown.LSN = max(n.shown.LSN, said.Apply)
	n.shown.received = max(n.shown.received, said.Flush)
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("The machine of this proxy has lost WAL that may have been reported, and the standby has some of " +
			"it: it is served once the primary has said where it is.")
}

// known returns the positions that standbys have shown, and that the store, which is at p, lacks.
func (s shown) known(p Positions) (all []knownwal.Known) {
	if s.System != p.System || s.Timeline != p.Timeline {
		return nil
	}
	if s.LSN > p.Received {
		all = append(all, knownwal.Known{Point: s.Point, Acked: true, Complete: true, Shown: true})
	}
	if s.received > max(p.Received, s.LSN) {
		at := s.Point
		at.LSN = s.received
		all = append(all, knownwal.Known{Point: at, Acked: true})
	}
	return all
}

// Unshown reports whether nothing can have been reported that a primary has lost as it came back at at. Standbys have
// come since the start, while WAL was owed, without whom the rule covers nothing, and none of them had more. Other
// members count as not heard. Of a name that two standbys share one of them is enough.
func (n *Node) Unshown(at knownwal.Restart) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.ledger.State().Rule
	text := r.RuleText
	if unestablished(r) && r.Before.Names != "" { // without a rule before no more than what is flushed was reported
		text = r.Before
	}
	rule, err := ledger.Parse(text)
	if err != nil || rule.Names.Empty() {
		return false
	}
	var unknown []quorum.Voter
	for _, name := range rule.Names.Names {
		if name == syncrep.Wildcard {
			return false
		}
		own := vote.Fold(name) == vote.Fold(n.o.Name)
		if has, came := n.shown.came[vote.Fold(name)]; !own && (!came || at.Lacks(has)) {
			member := slices.ContainsFunc(n.o.Members, func(m string) bool { return vote.Fold(m) == vote.Fold(name) })
			unknown = append(unknown, quorum.Voter{Name: name, ID: uint64(len(unknown)), Store: member})
		}
	}
	return !rule.Satisfiable(unknown)
}
