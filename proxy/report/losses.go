package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// givenUpStatus returns the losses of WAL that still concern somebody.
func givenUpStatus(all []cluster.GivenUp) (rows []admin.GivenUp) {
	for _, l := range all {
		rows = append(rows, admin.GivenUp{
			Timeline: l.Timeline, From: l.From, To: l.To, Standbys: l.Suspects(),
			Here: l.Own, Elsewhere: l.Elsewhere, Untold: l.Untold,
		})
	}
	return rows
}

// asideWarnings tell that a start sets the store aside, where no refusal of a server says it.
func asideWarnings(a *admin.Aside, refused []*admin.Lack) []string {
	saysIt := func(l *admin.Lack) bool { return l.Restart }
	switch {
	case a == nil || slices.ContainsFunc(refused, saysIt):
		return nil
	case a.From == lsn.Invalid:
		return []string{fmt.Sprintf("WAL of timeline %s up to %s is given up: the next start of this proxy sets its "+
			"WAL aside. That ends by itself when it follows a primary that has that WAL", a.Timeline, a.To)}
	}
	return []string{fmt.Sprintf("WAL of timeline %s from %s to %s is given up: the next start of this proxy sets its "+
		"WAL aside. That ends by itself when it follows a primary that has that WAL", a.Timeline, a.From, a.To)}
}

// keepWarnings tell how WAL is kept after all that was given up. a is what the store has of it until its next start,
// nil: none. A store that was not told may have it, too: refused are the servers that are refused here, whose warnings
// say so as well. Of the standbys that have it none can attach where the word was said.
func keepWarnings(a *admin.Aside, rows []admin.GivenUp, store *admin.Store, refused []*admin.Lack) (all []string) {
	for _, l := range rows {
		told := a != nil && l.Timeline == a.Timeline && l.From < a.To && a.From < l.To
		says := func(x *admin.Lack) bool { return x.Lost && givenUpBy(x, []admin.GivenUp{l}) != "" }
		untold := !l.Here && l.Timeline == store.Timeline && store.Received > l.From &&
			!slices.ContainsFunc(refused, says)
		if !told && !untold {
			continue
		}
		if untold {
			all = append(all, fmt.Sprintf("WAL of timeline %s up to %s is given up by %s, and this proxy has it "+
				"still: give it up here too, by replproxy accept-timeline %s; or keep it after all: restart no "+
				"proxy and make no standby anew, stop that primary for good, and promote a server that has it "+
				"(docs/failover.md, after a change of mind)", l.Timeline, l.To, givers(l), l.Timeline))
			continue
		}
		if len(l.Standbys) == 0 {
			continue
		}
		all = append(all, fmt.Sprintf("WAL of timeline %s up to %s is given up, and this proxy has it still, "+
			"as %s may: to keep it after all restart no proxy and make no standby anew; stop that primary for good, "+
			"and promote one that has it, with --end NAME=LSN, where its WAL ends "+
			"(docs/failover.md, after a change of mind)",
			l.Timeline, l.To, strings.Join(l.Standbys, " and ")))
	}
	return all
}

// givers names the members that have given up l.
func givers(l admin.GivenUp) string {
	return cmp.Or(strings.Join(l.Elsewhere, " and "), "another proxy")
}

// givenUpBy names the proxies that have given up the WAL of l, where this one has not; "": none has, or it has too.
func givenUpBy(l *admin.Lack, all []admin.GivenUp) string {
	for _, g := range all {
		if g.Timeline == l.Timeline && !g.Here && g.From < l.To && l.From < g.To {
			return givers(g)
		}
	}
	return ""
}

// givenUpWarnings name the members that may not have been told that WAL was given up, and the standbys that may have
// it.
func givenUpWarnings(rows []admin.GivenUp) (all []string) {
	for _, l := range rows {
		if l.Here && len(l.Untold) > 0 {
			all = append(all, fmt.Sprintf("WAL of timeline %s up to %s is given up here, and %s may have it still: "+
				"run replproxy accept-timeline %s there too, and restart that proxy",
				l.Timeline, l.To, strings.Join(l.Untold, " and "), l.Timeline))
		}
		for _, name := range l.Standbys {
			if l.From == lsn.Invalid {
				all = append(all, fmt.Sprintf("standby %s may have WAL of timeline %s up to %s, which was given up, "+
					"nobody knows from where on: it gets no WAL and does not count until it is made anew, from a base "+
					"backup that begins beyond that; if it is already: replproxy made-anew %s",
					name, l.Timeline, l.To, syncrep.QuoteName(name)))
				continue
			}
			all = append(all, fmt.Sprintf("standby %s may have WAL from %s to %s of timeline %s, which was given up: "+
				"it gets no WAL and does not count until it is made anew, from a base backup that begins beyond that; "+
				"if it is already: replproxy made-anew %s", name, l.From, l.To, l.Timeline, syncrep.QuoteName(name)))
		}
	}
	return all
}

// heldBackWarnings name the remedies for standbys that are not served; none with a why of "".
func heldBackWarnings(why string, unheard []string) []string {
	switch {
	case why == "":
		return nil
	case len(unheard) == 0:
		return []string{"no standby is served: " + why}
	}
	return []string{fmt.Sprintf("no standby is served: %s: start one of them; only if each is gone for good, say so: "+
		"replproxy forget %s", why, unheard[0])}
}

// lateWarnings tell of members that were away when the stored timeline was followed.
func lateWarnings(late []walsource.LackError) (all []string) {
	for _, e := range late {
		all = append(all, fmt.Sprintf("%s was away when timeline %s was followed, and may have acknowledged WAL of "+
			"timeline %s from %s to %s that it lacks: look whether a commit is missing; "+
			"if none is: replproxy accept-timeline %s on %s",
			e.By, e.Timeline, e.Of, e.From, e.To, e.Timeline, e.By))
	}
	return all
}

// covers reports whether a server that lacks l will be followed by a's word. v0.1.0's says of which timeline it is, and
// is about no loss.
func covers(a *admin.Accepted, l *admin.Lack) bool {
	switch {
	case a == nil || a.Timeline != l.Timeline:
		return false
	case a.To == lsn.Invalid:
		return a.Forced || !l.Lost
	}
	return a.Of == l.Of && l.To <= a.To
}

// acceptedWarnings tell of a word that is not used yet; none for nil.
func acceptedWarnings(a *admin.Accepted) []string {
	switch {
	case a == nil:
		return nil
	case a.To == lsn.Invalid:
		return []string{fmt.Sprintf("a server on timeline %s will be followed whatever it lacks, as an operator said: "+
			"replproxy accept-timeline --revoke %s takes that back", a.Timeline, a.Timeline)}
	}
	if a.From == lsn.Invalid {
		return []string{fmt.Sprintf("the server on timeline %s will be followed although it lacks WAL of timeline %s "+
			"up to %s, as an operator said: replproxy accept-timeline --revoke %s takes that back",
			a.Timeline, a.Of, a.To, a.Timeline)}
	}
	return []string{fmt.Sprintf("the server on timeline %s will be followed although it lacks WAL of timeline %s "+
		"from %s to %s, as an operator said: replproxy accept-timeline --revoke %s takes that back",
		a.Timeline, a.Of, a.From, a.To, a.Timeline)}
}
