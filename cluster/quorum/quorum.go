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

// Result has the positions that a rule covers. Candidates counts the voters that could have voted.
type Result struct {
	Positions  lsn.Progress
	Satisfied  bool // the rule has enough candidates; else Positions is zero
	Candidates int
}

// need returns the number of candidates that the rule waits for. PostgreSQL keeps the count of ANY in eight bits
// (facts C1); a rule that says 257 would there wait for one. Waiting for less than what is written is the one thing a
// gateway must not do, so the whole number counts here.
func need(r syncrep.Rule) int { return int(r.Count) }

// candidate reports whether v can vote at all (facts C3).
func candidate(v *Voter) bool { return v.Streaming && (v.AtZero || v.Positions.Flush != lsn.Invalid) }

// Priority returns PostgreSQL's sync_priority of a voter, 0 if the rule does not name it. The wildcard names standbys
// only.
func Priority(rule syncrep.Rule, v Voter) int { return priority(rule, &v) }

func priority(rule syncrep.Rule, v *Voter) int {
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

// few voters are evaluated on the stack.
const few = 16

// ranked is a candidate among voters.
type ranked struct{ at, priority int }

// Evaluate gives the largest position of each column that the rule covers. An empty rule covers
// nothing here: what it means is the caller's to say. PostgreSQL's minimum under FIRST takes the 0 of a
// standby that never applies for "not set yet", unless it comes last; here 0 is 0. It runs for each report of a
// standby, and allocates nothing unless there are more than few candidates.
func Evaluate(rule syncrep.Rule, voters []Voter) (res Result) { return evaluate(rule, nil, voters) }

func evaluate(rule syncrep.Rule, names ranks, voters []Voter) (res Result) {
	var room [few]ranked
	c, n := candidates(room[:0], rule, names, voters), need(rule)
	if res.Candidates = len(c); rule.Empty() || n < 1 || len(c) < n {
		return res
	}
	if rule.Method == syncrep.First {
		byRank(c, voters)
		c = c[:n]
	}
	res.Satisfied = true
	// The smallest of the n that FIRST kept is their n-th largest: one selection serves both.
	var values [few]lsn.LSN
	res.Positions = lsn.Progress{
		Write: nth(values[:0], voters, c, n, write), Flush: nth(values[:0], voters, c, n, flush),
		Apply: nth(values[:0], voters, c, n, apply),
	}
	return res
}

// Chosen returns the voters whose positions decide, in the order of their rank; none when they are too few.
func Chosen(rule syncrep.Rule, voters []Voter) (all []Voter) {
	c, n := candidates(nil, rule, nil, voters), need(rule)
	if rule.Empty() || n < 1 || len(c) < n {
		return nil
	}
	byRank(c, voters)
	if rule.Method == syncrep.First {
		c = c[:n]
	}
	for _, x := range c {
		all = append(all, voters[x.at])
	}
	return all
}

// candidates appends the candidates that a rule names, in the order of voters. names are the rule's, or nil.
func candidates(c []ranked, rule syncrep.Rule, names ranks, voters []Voter) []ranked {
	for i := range voters {
		v := &voters[i]
		if !candidate(v) {
			continue
		}
		if p := names.of(rule, v); p > 0 {
			c = append(c, ranked{i, p})
		}
	}
	return c
}

// byRank sorts candidates as PostgreSQL prefers them.
func byRank(c []ranked, voters []Voter) {
	slices.SortFunc(c, func(a, b ranked) int {
		x, y := &voters[a.at], &voters[b.at]
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
}

// write, flush and apply pick one column of the positions.
func write(p lsn.Progress) lsn.LSN { return p.Write }
func flush(p lsn.Progress) lsn.LSN { return p.Flush }
func apply(p lsn.Progress) lsn.LSN { return p.Apply }

// nth returns the n-th largest value of one column of those in c: the position that n voters have reached. room is
// empty.
func nth(room []lsn.LSN, voters []Voter, c []ranked, n int, column func(lsn.Progress) lsn.LSN) lsn.LSN {
	for _, x := range c {
		room = append(room, column(voters[x.at].Positions))
	}
	slices.Sort(room)
	return room[len(room)-n]
}
