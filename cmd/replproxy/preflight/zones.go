package preflight

import (
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
)

// zoneChecks judges whether the rule's voters are in enough zones, and whether the rule names the voters of each zone.
// It returns none without a rule over zones.
func zoneChecks(s Setup) []Check {
	d, err := ledger.Parse(s.RuleText)
	if err != nil || d.Spread.Empty() {
		return nil
	}
	c := Check{Name: "rule and zones", Level: OK, Text: s.RuleText.Spread}
	all := ruleVoters(s, d)
	var unnamed []string
	for _, z := range s.RuleText.Zones {
		for _, name := range z.Voters {
			if quorum.Priority(d.Names, quorum.Voter{Name: name, Store: s.proxy(name)}) == 0 {
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
