package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// zoneChecks judges whether the rule's voters are in enough zones, and whether the rule names the voters of each zone.
// It returns none without a rule over zones.
func zoneChecks(s Setup) []Check {
	d, err := ledger.Parse(s.RuleText)
	if err != nil || d.Spread.Empty() {
		return nil
	}
	c := Check{Name: "rule and zones", Level: OK, Text: s.RuleText.Spread}
	var all []quorum.Voter
	var unnamed []string
	stores := append(slices.Clone(s.Members), s.Name)
	add := func(name string) {
		v := quorum.Voter{Name: vote.Fold(name), ID: uint64(len(all)), Store: slices.Contains(stores, name)}
		same := func(o quorum.Voter) bool { return o.Name == v.Name }
		if name != syncrep.Wildcard && !slices.ContainsFunc(all, same) {
			all = append(all, v)
		}
	}
	for _, name := range d.Names.Names {
		add(name)
	}
	for _, z := range s.RuleText.Zones {
		for _, name := range z.Voters {
			add(name)
			v := quorum.Voter{Name: name, Store: slices.Contains(stores, name)}
			if quorum.Priority(d.Names, v) == 0 {
				unnamed = append(unnamed, name)
			}
		}
	}
	switch {
	case !d.Satisfiable(all):
		c.Level, c.Text = Fail, fmt.Sprintf("the voters that %s names are in too few zones for %s: no commit is ever "+
			"released", s.Rule, s.RuleText.Spread)
		c.Remedy = "Give voters of the rule to more zones, or ask for fewer."
	case len(unnamed) > 0:
		c.Level, c.Text = Warn, fmt.Sprintf("%s in synchronous_standby_zones: the rule does not name it, so it counts "+
			"for no zone", strings.Join(unnamed, ", "))
		c.Remedy = "Name it in synchronous_standby_names, or take it out of its zone."
	}
	return []Check{c}
}
