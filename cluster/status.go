package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Status answers why a commit waits.
type Status struct {
	Rule   string // "" without one
	Spread string // the rule over zones, "" without one
	Zones  []Zone
	End    lsn.LSN
	Levels [3]Level // write, flush, apply
	Voters []Voter
	Holds  []ledger.Hold // on everything
	// Rules are the rules in use; more than one while nodes differ.
	Rules []ledger.RuleInUse
	node  string
	// Withdrawn: this node's store does not vote, see [Node.Withdraw].
	Withdrawn bool
	// Confirmation lists the members at which the rule is not in force yet (ruling R9).
	Confirmation ledger.Confirmation
	// Awaited are members that do not speak and hold back what is covered; Forgotten those that an operator
	// has removed and that have not been heard since.
	Awaited, Forgotten []string
	Counters           ledger.Counters
	// GivenUp are losses of WAL that the store's history had.
	GivenUp loss.Set
	// Newcomer: no standby is served from a data_dir that is new. Unheard are the members that have yet to say which
	// WAL was given up, see [Node.Newcomer].
	Newcomer bool
	Unheard  []string
	// Bytes compares each other member's WAL with this store, by name.
	Bytes []ledger.Bytes
}

// Others returns the rules in use that this node does not have. Each holds as well: the strictest is in the way.
func (s Status) Others() (all []ledger.RuleInUse) {
	for _, d := range s.Rules {
		if d.Rule.Names != "" && !slices.Contains(d.Nodes, s.node) {
			all = append(all, d)
		}
	}
	return all
}

// Level is one column: what a commit with synchronous_commit remote_write, on or remote_apply waits for.
type Level struct {
	Position    lsn.LSN   // what the rules cover; without a rule the largest LSN, apply 0
	Since       time.Time // for so long it has not reached an end of WAL; zero: it has
	Satisfiable bool      // with who is there now
	Why         string    // it is not, in words
}

// Voter is a session, or a name of the rule that no session has: then Node is "" and Standing Absent.
type Voter struct {
	ledger.View
	Priority int
	Zone     string // "" without one
	// SyncState is PostgreSQL's: async, potential, sync or quorum.
	SyncState string
	Positions lsn.Progress
	Since     [3]time.Time // behind the end of WAL in write, flush, apply since; zero: it is not
}

// Absent is the standing of a name in the rule that nobody has.
const Absent ledger.Standing = "not attached anywhere"

// PostgreSQL's words in pg_stat_replication.sync_state.
const (
	Async     = "async"
	Potential = "potential"
	Sync      = "sync"
	Quorum    = "quorum"
)

// Status takes a snapshot.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	limits := n.evaluate(now).Clone()
	n.waiting.look(now, n)
	s := Status{
		End: n.at.Received, Holds: limits.Holds, Rules: limits.Rules, node: n.o.Name, Counters: n.ledger.Counters(),
		Bytes:        n.ledger.Bytes(),
		Confirmation: n.ledger.Confirmed(), Withdrawn: n.withdrawn,
		Awaited: n.ledger.Awaited(now, limits), Forgotten: n.ledger.Forgotten(),
	}
	if s.Newcomer = n.newcomer.waits; s.Newcomer {
		s.Unheard = n.unheard(now)
	}
	for _, l := range n.losses {
		if n.concerns(l, n.at) {
			s.GivenUp = append(s.GivenUp, l)
		}
	}
	rule := n.rule()
	s.Rule = rule.String()
	s.Voters = n.voters(now, rule, limits)
	own := n.ledger.State().Rule.RuleText
	s.Spread, s.Zones = own.Spread, zonesOf(own, limits.Rules, s.Voters)
	given := n.reportable(limits)
	if given != limits.Progress {
		limits.Holds = append(slices.Clone(limits.Holds), ledger.Hold{Why: ledger.Undurable})
		s.Holds = limits.Holds
	}
	for i, position := range positions(given) {
		s.Levels[i] = Level{Position: position, Since: n.since(vote.Key{}, i, position)}
		s.Levels[i].Satisfiable, s.Levels[i].Why = n.satisfiable(limits, i)
	}
	return s
}

// SyncStates returns sync_state and sync_priority of the sessions that this node serves, by incarnation.
func (n *Node) SyncStates() map[uint64]Voter {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	all := map[uint64]Voter{}
	for _, v := range n.voters(now, n.rule(), n.evaluate(now)) {
		if v.Node == n.o.Name {
			all[v.Incarnation] = v
		}
	}
	return all
}

// Fences reports whether this node has promised never again to vote for a timeline (ruling R2): what the old primary
// says of itself is void then. Any goroutine may ask.
func (n *Node) Fences(t lsn.TimelineID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return t != 0 && n.ledger.State().Fenced >= t
}

// Named reports whether an application_name is that of a member, or of a voter of a rule.
func (n *Node) Named(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Named(name)
}

// Counted reports whether a rule of a member counts a standby of that application_name.
func (n *Node) Counted(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Counted(name)
}

// rule returns this node's, parsed. The caller holds mu.
func (n *Node) rule() syncrep.Rule {
	r, err := syncrep.Parse(n.ledger.State().Rule.Names)
	if err != nil {
		return syncrep.Rule{} // never: the ledger has parsed it
	}
	return r
}

// since returns the moment from which on one is behind; zero when not. The caller holds mu.
func (n *Node) since(key vote.Key, column int, position lsn.LSN) time.Time {
	if position >= n.at.Received {
		return time.Time{}
	}
	return n.waiting.of(key)[column].since
}

// voters returns all sessions, then the names without one. The caller holds mu.
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

// labels returns the zones of this node's rule's voters. The caller holds mu.
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

// satisfiable reports whether every rule in use can cover a position in a column with who is there.
func (n *Node) satisfiable(l ledger.Evaluation, column int) (ok bool, why string) {
	var all []string
	for _, h := range l.Holds {
		all = append(all, describe(h))
	}
	for _, d := range l.Rules {
		if d.Rule.Names == "" {
			continue
		}
		for _, h := range d.Holds {
			if h.Why != ledger.Unsatisfied {
				all = append(all, describe(h))
			}
		}
		switch r := d.Result; {
		case !r.Satisfied:
			all = append(all, unsatisfied(d, n.whose(d)))
		case len(d.Holds) == 0 && positions(d.Free)[column] == lsn.Invalid && held(d) != "" &&
			positions(r.Positions)[column] != lsn.Invalid:
			all = append(all, held(d))
		case len(d.Holds) == 0 && positions(r.Positions)[column] == lsn.Invalid:
			all = append(all, fmt.Sprintf("%s%s: too few of its %d candidates report %s",
				d.Rule.Names, n.whose(d), r.Candidates,
				[3]string{write: "write", flush: "flush", apply: "apply"}[column]))
		}
	}
	return len(all) == 0, strings.Join(all, "; ")
}

// whose names the members that have a rule which this node has not, as an apposition; "": this one has it too.
func (n *Node) whose(d ledger.RuleInUse) string {
	if slices.Contains(d.Nodes, n.o.Name) {
		return ""
	}
	return " (the rule of " + strings.Join(d.Nodes, " and ") + ")"
}

// held says which voters of a rule are held, and by what; "" when none is.
func held(d ledger.RuleInUse) string {
	var all []string
	for _, v := range d.Voters {
		if v.Held != "" {
			all = append(all, v.Name+" is "+v.Held)
		}
	}
	return strings.Join(all, ", ")
}

func describe(h ledger.Hold) string {
	if h.Node == "" {
		return string(h.Why)
	}
	return string(h.Why) + " (" + h.Node + ")"
}

func positions(p lsn.Progress) [3]lsn.LSN { return [3]lsn.LSN{p.Write, p.Flush, p.Apply} }
