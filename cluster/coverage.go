package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/nudge"
)

// Coverage tells which WAL of a timeline the rules in use cover, and which names of standbys they count.
type Coverage struct {
	Timeline lsn.TimelineID
	// At is the furthest flush position that was reportable since coverage is wanted. Every rule in use covered it.
	// Whatever the primary may have been told of is below it, so each server that a failover may choose has it.
	// [ledger.Max]: there is no rule. Invalid: nothing was given yet. What R11 lets go is not in it.
	At lsn.LSN
	// Votes reports whether a rule in use counts standbys of that application_name, by * too.
	Votes      func(applicationName string) bool
	Generation uint64 // changes with Votes
}

// coverage remembers that; guarded by Node.mu.
type coverage struct {
	wanted bool
	moved  nudge.Chan
	ledger.Covered

	names      []string // of the rules in use
	generation uint64
	votes      func(string) bool
}

func newCoverage() coverage {
	return coverage{moved: nudge.New(), votes: func(string) bool { return false }}
}

// WantCoverage says whether CoverageMoved is to get tokens and what was covered is to be remembered.
func (n *Node) WantCoverage(wanted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.coverage.wanted = wanted; wanted {
		n.coverage.moved.Wake()
	}
}

// CoverageMoved has one slot and gets a token when Coverage may have changed, while that is wanted.
func (n *Node) CoverageMoved() <-chan struct{} { return n.coverage.moved }

// Coverage evaluates as Reportable does.
func (n *Node) Coverage() Coverage {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.evaluate(time.Now())
	c := &n.coverage
	c.Note(n.at.System, n.at.Timeline, l.Ruled, n.reportable(l))
	var names []string
	for _, v := range l.Rules {
		names = append(names, v.Rule.Names)
	}
	if !slices.Equal(names, c.names) {
		c.names, c.votes = names, votesIn(names)
		c.generation++
	}
	return Coverage{Timeline: n.at.Timeline, At: c.At, Votes: c.votes, Generation: c.generation}
}

// votesIn is [Coverage.Votes] of rules.
func votesIn(names []string) func(string) bool {
	var rules []syncrep.Rule
	for _, text := range names {
		if r, err := syncrep.Parse(text); err == nil && !r.Empty() { // the ledger has parsed it
			rules = append(rules, r)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(rules, func(r syncrep.Rule) bool { return r.Priority(name) > 0 })
	}
}
