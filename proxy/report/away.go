package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// awayWarnings name the voters of a rule that do not count while it is covered without them. Nothing hangs yet, and
// nothing else says that the next loss will. up is the time since the start: standbys come back for a while after it.
func awayWarnings(q *admin.Quorum, up time.Duration) []string {
	rule, err := syncrep.Parse(q.Rule)
	if err != nil || rule.Empty() || up <= cluster.MemberTimeout || !satisfiable(q) {
		return nil
	}
	counting, why := map[string]bool{}, map[string]string{}
	for _, v := range q.Voters {
		switch {
		case v.Standing == admin.Counts && v.Priority > 0:
			counting[v.Name] = true
		case why[v.Name] == "":
			why[v.Name] = v.Standing
		}
	}
	var away []string
	told := map[string]bool{}
	for _, name := range rule.Names {
		folded := vote.Fold(name)
		if name == syncrep.Wildcard || counting[folded] || told[folded] {
			continue
		}
		told[folded] = true
		away = append(away, fmt.Sprintf("%s (%s)", syncrep.QuoteName(folded), why[folded]))
	}
	if len(away) == 0 {
		return nil
	}
	text, spare := admin.VotersAway+strings.Join(away, ", "), max(0, len(counting)-int(rule.Count))
	if q.Spread != "" { // it depends on the zones of those that are lost
		return []string{text + fmt.Sprintf("; commits go on without them, and may wait once %d more is lost", spare+1)}
	}
	return []string{text + fmt.Sprintf("; commits go on without them, and wait once %d more is lost", spare+1)}
}

// withheldWarnings say that the rule is covered here, and that the member which reports to the primary covers less.
func withheldWarnings(member string) []string {
	return []string{admin.CommitsWait + fmt.Sprintf("member %s, which streams from the primary, covers less than this "+
		"proxy; one that covers more takes over within 15 s", member)}
}

// satisfiable reports whether the rule can cover what commits wait for by default.
func satisfiable(q *admin.Quorum) bool {
	for _, l := range q.Levels {
		if l.Position == "flush" {
			return l.Satisfiable
		}
	}
	return false
}
