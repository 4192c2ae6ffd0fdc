package ledger

import (
	"math"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Max bounds nothing: what an empty rule gives for write and flush.
const Max = lsn.LSN(math.MaxUint64)

// Why names a reason for which a position is not covered, apart from the voters' positions.
type Why string

// The reasons.
const (
	Undurable    Why = "the rule is not durable yet"
	Uncompared   Why = "no other member has been heard since the start"
	Fenced       Why = "this node is fenced on this timeline"
	Contested    Why = "two nodes hold a name"
	OldCopy      Why = "a member came with a boot number that was used before"
	NotHeard     Why = "FIRST waits for a member that has not been heard since the start"
	FirstFenced  Why = "FIRST waits: a member is fenced on this timeline"
	FirstHistory Why = "FIRST waits: a member with standbys on this timeline has another history of it"
	Unsatisfied  Why = "fewer candidates than the rule counts"
	Broken       Why = "an inequality was violated"
)

// Hold is a reason, and the node that it concerns where there is one.
type Hold struct {
	Why  Why
	Node string
}

// RuleInUse is one rule in use: who has it, what it covers, what holds it back.
type RuleInUse struct {
	Rule   vote.Rule
	Nodes  []string
	Result quorum.Result
	Voters []quorum.Voter
	Holds  []Hold
	// Free has the positions that the voters cover which are not held, see quorum.Voter: a column at 0 moves no more.
	Free lsn.Progress
}

// Evaluation has the largest positions that may be reported. With an empty rule they are Max, Max and 0: what the store
// has, and no apply (ruling R24).
type Evaluation struct {
	lsn.Progress
	Holds []Hold // on everything; while there is one, the positions are 0
	Rules []RuleInUse
	Ruled bool // one of Rules is not empty
}

// Evaluate evaluates everything that is known at now, for reports to a primary of system on timeline t. It does so in
// the memory that lim has already: whoever asks again at each report allocates nothing.
func (l *Ledger) Evaluate(lim *Evaluation, now time.Time, system lsn.SystemID, t lsn.TimelineID) {
	*lim = Evaluation{
		Progress: lsn.Progress{Write: Max, Flush: Max, Apply: Max},
		Holds:    l.holds(lim.Holds[:0], t), Rules: l.inUse(lim.Rules[:0], now),
	}
	for i := range lim.Rules {
		v := &lim.Rules[i]
		d := &l.members[v.Nodes[0]].rule
		if d.Names.Empty() {
			v.Result = quorum.Result{Positions: lsn.Progress{Write: Max, Flush: Max}, Satisfied: true}
			v.Free = v.Result.Positions
		} else {
			if !lim.Ruled { // without a rule nobody's report matters
				l.look(now, system, t)
				lim.Ruled = true
			}
			l.evaluateRule(v, d, t)
		}
		lim.Progress = quorum.Least(lim.Progress, v.Result.Positions)
	}
	if len(lim.Holds) > 0 {
		lim.Progress = lsn.Progress{}
	}
}

// Clone returns l with a memory of its own.
func (l Evaluation) Clone() Evaluation {
	l.Holds, l.Rules = slices.Clone(l.Holds), slices.Clone(l.Rules)
	for i := range l.Rules {
		v := &l.Rules[i]
		v.Nodes, v.Voters, v.Holds = slices.Clone(v.Nodes), slices.Clone(v.Voters), slices.Clone(v.Holds)
	}
	return l
}

// Before returns the positions that the rule before this node's covers, if that one was not established when this
// node's was taken. A rule that leaves no trace of its own must not allow more than its predecessor.
func (l *Ledger) Before(now time.Time, system lsn.SystemID, t lsn.TimelineID) lsn.Progress {
	if l.before.Names.Empty() {
		return lsn.Progress{Write: Max, Flush: Max, Apply: Max}
	}
	l.look(now, system, t)
	v := &l.judged
	*v = RuleInUse{Voters: v.Voters[:0], Holds: v.Holds[:0]}
	l.evaluateRule(v, &l.before, t)
	return v.Result.Positions
}

// look makes views anew.
func (l *Ledger) look(now time.Time, system lsn.SystemID, t lsn.TimelineID) {
	l.views = l.appendViews(l.views[:0], now, system, t)
}

// evaluateRule computes the positions that rule d covers, out of the voters that look has found. A position that
// something in Holds keeps back is not covered.
func (l *Ledger) evaluateRule(v *RuleInUse, d *quorum.Rule, t lsn.TimelineID) {
	first := ranks(d.Names)
	v.Voters = voters(v.Voters[:0], l.views, first)
	v.Result = d.Evaluate(v.Voters)
	v.Free = v.Result.Positions
	if free, some := withoutHeld(v.Voters); some {
		v.Free = d.Evaluate(free).Positions
	}
	if first {
		v.Holds = l.firstHolds(v.Holds[:0], t)
	}
	if !v.Result.Satisfied {
		v.Holds = append(v.Holds, Hold{Why: Unsatisfied})
	} else if !d.Covers(v.Voters, v.Result.Positions) {
		l.counters.Violations++
		v.Holds = append(v.Holds, Hold{Why: Broken})
	}
	if len(v.Holds) > 0 {
		v.Result.Positions = lsn.Progress{}
	}
}

// withoutHeld has those that are held at 0; some: there are any.
func withoutHeld(voters []quorum.Voter) (free []quorum.Voter, some bool) {
	held := func(v quorum.Voter) bool { return v.Held != "" }
	if !slices.ContainsFunc(voters, held) {
		return voters, false
	}
	free = slices.Clone(voters)
	for i := range free {
		if held(free[i]) {
			free[i].Positions, free[i].AtZero = lsn.Progress{}, true
		}
	}
	return free, true
}

// ranks reports whether knowing of more voters can lower the result.
func ranks(r syncrep.Rule) bool { return r.Method == syncrep.First }

// inUse appends to out, which is empty, the different rules that a position has to satisfy, each with the nodes that
// have it.
func (l *Ledger) inUse(out []RuleInUse, now time.Time) []RuleInUse {
	own := l.own()
	for _, m := range l.all {
		if !m.heard || l.silent(now, m) && m.state.Rule.Generation < own.state.Rule.Generation {
			continue
		}
		i := 0
		for i < len(out) && !out[i].Rule.Same(m.state.Rule.RuleText) {
			i++
		}
		if i == len(out) {
			out = slices.Grow(out, 1)[:i+1]
			v := &out[i]
			*v = RuleInUse{Rule: m.state.Rule, Nodes: v.Nodes[:0], Voters: v.Voters[:0], Holds: v.Holds[:0]}
		}
		out[i].Nodes = append(out[i].Nodes, m.state.Node)
	}
	return out
}

// Awaited returns the members that do not speak and without whom lim would be more: those whom an operator may have to
// forget. By name.
func (l *Ledger) Awaited(now time.Time, lim Evaluation) (names []string) {
	uncompared := slices.ContainsFunc(lim.Holds, func(h Hold) bool { return h.Why == Uncompared })
	for _, name := range l.names()[1:] {
		m := l.members[name]
		if m.forgotten || l.Lives(now, name) {
			continue
		}
		delayed := func(v RuleInUse) bool { return l.delays(v, name) }
		if !m.heard && uncompared || slices.ContainsFunc(lim.Rules, delayed) {
			names = append(names, name)
		}
	}
	return names
}

// delays reports whether a rule waits for a silent member. It does if only that member has the rule. FIRST waits also
// until the member says that its standbys are gone.
func (l *Ledger) delays(v RuleInUse, name string) bool {
	if v.Rule.Names == "" {
		return false
	}
	m := l.members[name]
	if slices.Contains(v.Nodes, name) && !slices.Contains(v.Nodes, l.o.Node) {
		return true
	}
	d, err := Parse(v.Rule.RuleText)
	return err == nil && ranks(d.Names) && (!m.heard || len(m.state.Sessions) > 0)
}

// names returns the names of the members, this node's first, then by name.
func (l *Ledger) names() (names []string) {
	for _, m := range l.all {
		names = append(names, m.state.Node)
	}
	return names
}

// holds appends the reasons for which this node may report nothing at all.
func (l *Ledger) holds(holds []Hold, t lsn.TimelineID) []Hold {
	own := l.own()
	if f := own.state.Fenced; f > 0 && f >= t { // a store that is still empty has timeline 0
		holds = append(holds, Hold{Fenced, l.o.Node})
	}
	if own.contested {
		holds = append(holds, Hold{Contested, l.o.Node})
	}
	others, heard := 0, 0
	for _, m := range l.all[1:] {
		if !m.forgotten {
			others++
			if m.heard {
				heard++
			}
		}
	}
	if others > 0 && heard == 0 {
		holds = append(holds, Hold{Why: Uncompared})
	}
	return holds
}

// firstHolds appends the reasons for which FIRST can't be evaluated: somebody may know of a voter of higher
// priority (ruling R5), or had one whose vote is withdrawn.
func (l *Ledger) firstHolds(holds []Hold, t lsn.TimelineID) []Hold {
	for _, m := range l.all[1:] {
		switch name := m.state.Node; {
		case m.contested:
			holds = append(holds, Hold{Contested, name})
		case m.relapsed:
			holds = append(holds, Hold{OldCopy, name})
		case !m.heard && !m.forgotten:
			holds = append(holds, Hold{NotHeard, name})
		case m.heard && t != 0 && m.state.Fenced >= t:
			holds = append(holds, Hold{FirstFenced, name})
		case l.otherHistory(m) && l.votesOn(m, t):
			holds = append(holds, Hold{FirstHistory, name})
		}
	}
	return holds
}
