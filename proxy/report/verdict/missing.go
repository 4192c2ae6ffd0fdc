package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// absentee tells of a voter that does not count.
type absentee struct {
	name  string
	words string
	start string // whom to start, so that it counts; "": nobody's start helps
}

// missing returns the voters that a rule names and that do not count, in the rule's order.
func (l *look) missing(r *rule) (all []absentee) {
	var told []string
	for _, name := range r.Names {
		folded := vote.Fold(name)
		if name == syncrep.Wildcard || slices.Contains(r.counting, folded) || slices.Contains(told, folded) {
			continue
		}
		told = append(told, folded)
		all = append(all, l.absent(folded))
	}
	return all
}

// absent tells why one voter does not count: it is away, its proxy is silent, or as the ledger has it.
func (l *look) absent(name string) absentee {
	at := slices.IndexFunc(l.Quorum.Voters, func(v admin.QuorumVoter) bool { return v.Name == name && v.Node != "" })
	node, away := "", at < 0
	if at >= 0 {
		node = l.Quorum.Voters[at].Node
	}
	place, seen := l.seen(name)
	if away && seen {
		node = place.Node
	}
	a := absentee{name: name, start: "standby " + quoted(name)}
	switch {
	case l.silent(name):
		a.words, a.start = quoted(name)+" is silent", quoted(name)
	case l.silent(node):
		a.words, a.start = fmt.Sprintf("%s is behind %s, which is silent", quoted(name), node), node
	case away && seen:
		a.words = fmt.Sprintf("%s is away since %s", quoted(name), clock(place.At, l.Now))
		if node != l.Name {
			a.words += " (last at " + node + ")"
		}
	case away:
		a.words = fmt.Sprintf("%s was not here since the start at %s", quoted(name), clock(l.StartedAt, l.Now))
	default:
		a.words, a.start = quoted(name)+" does not count: "+l.Quorum.Voters[at].Standing, ""
	}
	return a
}

// start names the proxies and standbys to start so that n more voters count. Proxies come first: more than one voter
// may be behind one.
func start(who []absentee, n int) string {
	var proxies, standbys []string
	for _, a := range who {
		switch {
		case a.start == "":
		case strings.HasPrefix(a.start, "standby "):
			standbys = append(standbys, a.start)
		case !slices.Contains(proxies, a.start):
			proxies = append(proxies, a.start)
		}
	}
	all := append(proxies, standbys...)
	switch {
	case len(who) == 0:
		return "attach " + counted(n, "more standby", "more standbys")
	case len(all) == 0:
		return "see in the runbook why they do not count"
	case len(who) > n:
		return "start " + strings.Join(all, ", or ")
	}
	return "start " + list(all)
}

func wordsOf(who []absentee) (all []string) {
	for _, a := range who {
		all = append(all, a.words)
	}
	return all
}

func namesOf(who []absentee) (all []string) {
	for _, a := range who {
		all = append(all, quoted(a.name))
	}
	return all
}
