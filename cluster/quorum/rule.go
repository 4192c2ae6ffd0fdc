package quorum

import (
	"errors"
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Rule is a rule over names and, if Spread is not empty, a second rule over zones. A zone has reached what the
// furthest of its voters has reached; a position is covered when both rules cover it. Zones maps the folded name of a
// voter to its zone.
type Rule struct {
	Names, Spread syncrep.Rule
	Zones         map[string]string

	names, spread ranks // of Names and Spread, see Ready
}

// Ready makes a rule of many names quick to evaluate; call it again when Names or Spread have changed.
func (d *Rule) Ready() { d.names, d.spread = ranksOf(d.Names), ranksOf(d.Spread) }

// ErrSpread reports a rule over zones that can't be used.
var ErrSpread = errors.New("unusable rule over zones")

// Check finds faults of the zones. Without a rule they mean nothing, FIRST over zones would not be monotone in
// knowledge, and a zone without voters could never ack.
func (d Rule) Check() error {
	if d.Spread.Empty() {
		return nil
	}
	switch {
	case d.Names.Empty():
		return fmt.Errorf("%w: it needs a rule over names beside it", ErrSpread)
	case d.Spread.Method != syncrep.Any && int(d.Spread.Count) < len(d.Spread.Names):
		return fmt.Errorf("%w: zones have no priority, say ANY", ErrSpread)
	}
	for _, n := range d.Spread.Names {
		if n != syncrep.Wildcard && !d.hasZone(n) {
			return fmt.Errorf("%w: no voter is in zone %q", ErrSpread, n)
		}
	}
	return nil
}

func (d Rule) hasZone(name string) bool {
	for _, z := range d.Zones {
		if (syncrep.Rule{Names: []string{name}}).Priority(z) > 0 {
			return true
		}
	}
	return false
}

// Counts reports whether the rule over names counts a voter.
func (d *Rule) Counts(v Voter) bool { return d.names.of(d.Names, &v) > 0 }

// Evaluate gives the largest position of each column that the rule covers; see [Evaluate].
func (d Rule) Evaluate(voters []Voter) Result {
	res := evaluate(d.Names, d.names, voters)
	if d.Spread.Empty() || !res.Satisfied {
		return res
	}
	spread := d.Spread
	spread.Method = syncrep.Any
	var room [few]Voter
	zones := evaluate(spread, d.spread, d.furthest(room[:0], voters))
	res.Satisfied = zones.Satisfied
	res.Positions = Least(res.Positions, zones.Positions)
	return res
}

// furthest appends a voter for each zone that has a candidate to zones, which is empty.
func (d Rule) furthest(zones []Voter, voters []Voter) []Voter {
	for i := range voters {
		v := &voters[i]
		zone, labelled := d.Zones[v.Name]
		if !labelled || !candidate(v) || d.names.of(d.Names, v) == 0 {
			continue
		}
		at := slices.IndexFunc(zones, func(z Voter) bool { return z.Name == zone })
		if at < 0 {
			at = len(zones)
			zones = append(zones, Voter{Name: zone, ID: uint64(at), Streaming: true})
		}
		p := &zones[at].Positions
		p.Write, p.Flush = max(p.Write, v.Positions.Write), max(p.Flush, v.Positions.Flush)
		p.Apply = max(p.Apply, v.Positions.Apply)
	}
	return zones
}

// Least returns the lower of each column.
func Least(a, b lsn.Progress) lsn.Progress {
	return lsn.Progress{Write: min(a.Write, b.Write), Flush: min(a.Flush, b.Flush), Apply: min(a.Apply, b.Apply)}
}

// Covers checks a result by counting, apart from how it was computed: at least Count candidates have
// reached it in each column, and so have the zones. Whoever reports a position asks this first.
func (d Rule) Covers(voters []Voter, p lsn.Progress) bool {
	var room [few]Voter
	if !d.Spread.Empty() && !reached(d.Spread, d.spread, d.furthest(room[:0], voters), p) {
		return false
	}
	return reached(d.Names, d.names, voters, p)
}

// reached counts, column by column, the candidates that have reached p. Of a column at 0 nothing is asked.
func reached(rule syncrep.Rule, names ranks, voters []Voter, p lsn.Progress) bool {
	var write, flush, apply int
	for i := range voters {
		v := &voters[i]
		if !candidate(v) || names.of(rule, v) == 0 {
			continue
		}
		write += count(v.Positions.Write >= p.Write)
		flush += count(v.Positions.Flush >= p.Flush)
		apply += count(v.Positions.Apply >= p.Apply)
	}
	n := need(rule)
	return (p.Write == 0 || write >= n) && (p.Flush == 0 || flush >= n) && (p.Apply == 0 || apply >= n)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Satisfiable reports whether voters alone, wherever they are, could ever cover a position. Commits that were released
// by a rule are all at the others' highest end if these voters can't (ruling R2).
func (d Rule) Satisfiable(voters []Voter) bool {
	anywhere := slices.Clone(voters)
	for i := range anywhere {
		anywhere[i].Streaming, anywhere[i].Positions = true, lsn.Progress{Write: 1, Flush: 1, Apply: 1}
	}
	return d.Names.Empty() || d.Evaluate(anywhere).Satisfied
}
