package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/nudge"
)

// coverage remembers the positions that [Node.Coverage] returns; guarded by Node.mu. Make it with newCoverage.
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

// CoverageMoved has room for one token and gets it when Coverage may have changed, while that is wanted.
func (n *Node) CoverageMoved() <-chan struct{} { return n.coverage.moved }

// Coverage returns the positions that the rules in use cover, and evaluates them as Reportable does. A release for a
// shutdown (R11) is not in it. It is the furthest since coverage is wanted.
func (n *Node) Coverage() syncrep.Coverage {
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
	return syncrep.Coverage{Timeline: n.at.Timeline, At: c.At, Votes: c.votes, Generation: c.generation}
}

// votesIn returns a function that reports whether names has a name, for [syncrep.Coverage.Votes].
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
