package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Zone is one of the rule's zones: how far the furthest of its voters is (docs/adr/0021).
type Zone struct {
	Name       string
	Wanted     bool // the rule over zones names it
	Candidates int  // voters that count
	Positions  lsn.Progress
	Since      [3]time.Time // behind the end of WAL in write, flush, apply since; zero: it is not
}

// zonesOf returns the zones of this node's rule; none without a rule over zones.
func zonesOf(rule vote.RuleText, judged []ledger.RuleInUse, voters []Voter) (all []Zone) {
	i := slices.IndexFunc(judged, func(v ledger.RuleInUse) bool { return v.Rule.Same(rule) })
	d, err := ledger.Parse(rule)
	if err != nil || d.Spread.Empty() || i < 0 {
		return nil
	}
	for _, labelled := range rule.Zones {
		z := Zone{Name: labelled.Name, Wanted: d.Spread.Priority(labelled.Name) > 0}
		for _, v := range inZone(d, z.Name, judged[i].Voters) {
			z.Candidates++
			z.Positions.Write = max(z.Positions.Write, v.Positions.Write)
			z.Positions.Flush = max(z.Positions.Flush, v.Positions.Flush)
			z.Positions.Apply = max(z.Positions.Apply, v.Positions.Apply)
		}
		z.Since = furthest(z.Name, voters)
		all = append(all, z)
	}
	return all
}

// furthest returns, by level, the time since which all voters of a zone that count have been behind: the moment of the
// last of them.
func furthest(zone string, voters []Voter) (since [3]time.Time) {
	var reached [3]bool
	for _, v := range voters {
		if v.Zone != zone || v.Standing != ledger.Counts || v.Priority == 0 {
			continue
		}
		for i, t := range v.Since {
			reached[i] = reached[i] || t.IsZero()
			if t.After(since[i]) {
				since[i] = t
			}
		}
	}
	for i := range since {
		if reached[i] {
			since[i] = time.Time{}
		}
	}
	return since
}

// inZone returns the candidates that a rule names and that carry the label.
func inZone(d quorum.Rule, zone string, voters []quorum.Voter) (in []quorum.Voter) {
	for _, v := range voters {
		candidate := v.Streaming && v.Positions.Flush != lsn.Invalid
		if d.Zones[v.Name] == zone && candidate && quorum.Priority(d.Names, v) > 0 {
			in = append(in, v)
		}
	}
	return in
}

// unsatisfied says why a rule that is not satisfied is not: too few candidates, or zones without any. whose is said of
// the rule.
func unsatisfied(v ledger.RuleInUse, whose string) string {
	d, err := ledger.Parse(v.Rule.RuleText)
	if err != nil || d.Spread.Empty() || !quorum.Evaluate(d.Names, v.Voters).Satisfied {
		if v.Result.Candidates == 1 {
			return fmt.Sprintf("%s%s has 1 candidate", v.Rule.Names, whose)
		}
		return fmt.Sprintf("%s%s has %d candidates", v.Rule.Names, whose, v.Result.Candidates)
	}
	var empty []string
	for _, z := range v.Rule.Zones {
		if d.Spread.Priority(z.Name) > 0 && len(inZone(d, z.Name, v.Voters)) == 0 {
			empty = append(empty, z.Name)
		}
	}
	return fmt.Sprintf("the rule over zones, %s%s: nobody counts in %s", v.Rule.Spread, whose,
		strings.Join(empty, ", "))
}
