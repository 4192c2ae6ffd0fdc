package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// voters returns the sessions of all nodes, each with its standing, priority and sync_state as status shows them.
// Behind them come the names of rule that no session has, as Absent. limits is the present evaluation of the rules. The
// caller holds mu.
func (n *Node) voters(now time.Time, rule syncrep.Rule, limits ledger.Evaluation) (all []Voter) {
	chosen := map[uint64]bool{}
	for _, d := range limits.Rules {
		if slices.Contains(d.Nodes, n.o.Name) {
			for _, v := range quorum.Chosen(rule, d.Voters) {
				chosen[v.ID] = true
			}
		}
	}
	candidates := 0
	views := n.ledger.Views(now, n.at.System, n.at.Timeline)
	held := heldNames(views)
	for _, view := range views {
		if by := held[view.Name]; by != "" && view.Kind == vote.Standby && view.Standing == ledger.Counts {
			view.Standing = by
		}
		if view.Incarnation == n.own && view.Node == n.o.Name && n.withdrawn {
			view.Standing = ledger.Withdrawn
		}
		v := Voter{View: view, Positions: positionsOf(view.Report, n.at.Timeline)}
		v.Priority = quorum.Priority(rule, quorum.Voter{Name: view.Name, Store: view.Kind == vote.Store})
		if view.Standing == ledger.IsMember || v.Positions.Flush == lsn.Invalid {
			v.Priority = 0 // as pg_stat_replication shows it (facts C3)
		}
		if v.Priority > 0 && view.Standing == ledger.Counts {
			candidates++
		}
		for i, position := range positions(v.Positions) {
			v.Since[i] = n.since(view.Key, i, position)
		}
		all = append(all, v)
	}
	for i := range all {
		all[i].SyncState = syncState(rule, all[i], chosen, candidates)
	}
	all = append(all, n.absent(rule, all)...)
	zones := n.labels()
	for i := range all {
		all[i].Zone = zones[all[i].Name]
	}
	return all
}

// heldNames returns the names of which an older session may be left behind, and what to say of that: the younger one
// is one voter with it (ruling R6).
func heldNames(views []ledger.View) map[string]ledger.Standing {
	held := map[string]ledger.Standing{}
	since := map[string]time.Time{}
	for _, v := range views {
		s := v.Report.Silent
		if s.Since.IsZero() || v.Standing != ledger.Counts || held[v.Name] != "" && !s.Since.Before(since[v.Name]) {
			continue
		}
		held[v.Name], since[v.Name] = ledger.Standing(ledger.HeldBy(s)), s.Since
	}
	return held
}

// labels returns the zone of each voter of this node's second rule, by its folded name; none without one. The caller
// holds mu.
func (n *Node) labels() map[string]string {
	d, err := ledger.Parse(n.ledger.State().Rule.RuleText)
	if err != nil {
		return nil // never: the ledger has parsed it
	}
	return d.Zones
}

// syncState returns the word of pg_stat_replication: while there are no more candidates than the rule counts, all of
// them are sync.
func syncState(rule syncrep.Rule, v Voter, chosen map[uint64]bool, candidates int) string {
	switch {
	case v.Priority == 0:
		return Async
	case v.Standing != ledger.Counts:
		return Potential
	case rule.Method == syncrep.Any:
		return Quorum
	case chosen[v.Incarnation] || candidates <= int(rule.Count):
		return Sync
	}
	return Potential
}

// absent returns the names of the rule that no session has. The caller holds mu.
func (n *Node) absent(rule syncrep.Rule, present []Voter) (all []Voter) {
	for i, name := range rule.Names {
		here := func(v Voter) bool { return v.Name == vote.Fold(name) }
		if name == syncrep.Wildcard || slices.ContainsFunc(present, here) || slices.ContainsFunc(all, here) {
			continue
		}
		v := Voter{Priority: 1, SyncState: Async}
		if rule.Method == syncrep.First {
			v.Priority = i + 1
		}
		v.Name, v.Standing, v.Voter = vote.Fold(name), Absent, -1
		if slices.Contains(n.beyond, v.Name) {
			v.Standing = ledger.BeyondLoss // this is the reason
		}
		all = append(all, v)
	}
	return all
}

// Columns of [positions].
const (
	write = iota
	flush
	apply
)
