package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
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
	GivenUp []GivenUp
	// Newcomer: no standby is served from a data_dir that is new. Unheard are the members that have yet to say which
	// WAL was given up, see [Node.Newcomer].
	Newcomer bool
	Unheard  []string
	// Strangers are proxies that members know and this node does not.
	Strangers []Stranger
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
	limits := n.evaluateAll(now).Clone()
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
	s.GivenUp, s.Strangers = n.givenUp(), n.strangers()
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
	for _, v := range n.voters(now, n.rule(), n.evaluateAll(now)) {
		if v.Node == n.o.Name {
			all[v.Incarnation] = v
		}
	}
	return all
}

// Fences reports whether this node has promised never again to vote for a timeline (ruling R2): what the old primary
// says of itself is void then. It is false of timeline 0. Any goroutine may ask.
func (n *Node) Fences(t lsn.TimelineID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return t != 0 && n.ledger.State().Fenced >= t
}

// Named reports whether an application_name, without case, is that of a member, or of a voter of a rule.
func (n *Node) Named(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Named(name)
}

// Counted reports whether a rule of a member, this node included, counts a standby of that application_name, without
// case.
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
