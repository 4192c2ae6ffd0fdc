package quorum

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Voter is one standby session, as pg_stat_replication would show it.
type Voter struct {
	Name      string // application_name
	ID        uint64 // breaks ties between voters of one name and priority (ruling R5), unique
	Store     bool   // a proxy's WAL store: named by its name only, never by * (ruling R21)
	Streaming bool   // has caught up once since it attached
	Positions lsn.Progress
	AtZero    bool // a candidate although it has no flush: what it has is not known to be of this WAL (ruling R32)
	// Held says why its positions may stand still for good, "" where nothing is known of that. It does not count here.
	Held string
}

// Result is what a rule covers. Candidates counts the voters that could have voted; Chosen names
// those whose positions decided, in the order of their rank.
type Result struct {
	Positions  lsn.Progress
	Satisfied  bool // the rule has enough candidates; else Positions is zero
	Candidates int
	Chosen     []Voter
}

// need is how many candidates the rule waits for. PostgreSQL keeps the count of ANY in eight bits
// (facts C1); a rule that says 257 would there wait for one. Waiting for less than what is written
// is the one thing a gateway must not do, so the whole number counts here.
func need(r syncrep.Rule) int { return int(r.Count) }

// candidate reports whether v can vote at all (facts C3).
func candidate(v Voter) bool { return v.Streaming && (v.AtZero || v.Positions.Flush != lsn.Invalid) }

// Priority is PostgreSQL's sync_priority of a voter, 0 if the rule does not name it. The wildcard names
// standbys only.
func Priority(rule syncrep.Rule, v Voter) int {
	for i, n := range rule.Names {
		if v.Store && n == syncrep.Wildcard || (syncrep.Rule{Names: []string{n}}).Priority(v.Name) == 0 {
			continue
		}
		if rule.Method == syncrep.Any {
			return 1
		}
		return i + 1
	}
	return 0
}

// Evaluate gives the largest position of each column that the rule covers. An empty rule covers
// nothing here: what it means is the caller's to say. PostgreSQL's minimum under FIRST takes the 0 of a
// standby that never applies for "not set yet", unless it comes last; here 0 is 0.
func Evaluate(rule syncrep.Rule, voters []Voter) Result {
	type ranked struct {
		Voter
		priority int
	}
	var c []ranked
	for _, v := range voters {
		p := Priority(rule, v)
		if p > 0 && candidate(v) {
			c = append(c, ranked{v, p})
		}
	}
	res := Result{Candidates: len(c)}
	n := need(rule)
	if rule.Empty() || n < 1 || len(c) < n {
		return res
	}
	slices.SortFunc(c, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	if rule.Method == syncrep.First {
		c = c[:n]
	}
	for _, v := range c {
		res.Chosen = append(res.Chosen, v.Voter)
	}
	res.Satisfied = true
	// The smallest of the n that FIRST kept is their n-th largest: one selection serves both.
	res.Positions = lsn.Progress{
		Write: nth(res.Chosen, n, func(p lsn.Progress) lsn.LSN { return p.Write }),
		Flush: nth(res.Chosen, n, func(p lsn.Progress) lsn.LSN { return p.Flush }),
		Apply: nth(res.Chosen, n, func(p lsn.Progress) lsn.LSN { return p.Apply }),
	}
	return res
}

// nth is the n-th largest value of one column: the position that n voters have reached.
func nth(voters []Voter, n int, column func(lsn.Progress) lsn.LSN) lsn.LSN {
	v := make([]lsn.LSN, len(voters))
	for i := range voters {
		v[i] = column(voters[i].Positions)
	}
	slices.SortFunc(v, func(a, b lsn.LSN) int { return cmp.Compare(b, a) })
	return v[n-1]
}
