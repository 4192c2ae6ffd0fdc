package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// rule holds one rule in use, with who counts under it.
type rule struct {
	syncrep.Rule
	whose    string   // as an apposition; "": this proxy's
	counting []string // names of voters that count, each once
}

// rules returns the rules in use that count somebody, this proxy's first.
func (l *look) rules() (all []rule) {
	add := func(text, whose string) {
		r, err := syncrep.Parse(text)
		if err != nil || r.Empty() {
			return
		}
		one := rule{Rule: r, whose: whose}
		for _, v := range l.Quorum.Voters {
			if v.Standing == admin.Counts && r.Priority(v.Name) > 0 && !slices.Contains(one.counting, v.Name) {
				one.counting = append(one.counting, v.Name)
			}
		}
		all = append(all, one)
	}
	add(l.Quorum.Rule, "")
	for _, o := range l.Quorum.Others {
		add(o.Rule, " (the rule of "+list(o.Proxies)+")")
	}
	return all
}

// names reports whether a rule has a name of its own for a voter.
func (r *rule) names(voter string) bool {
	return slices.ContainsFunc(r.Names, func(n string) bool {
		return n != syncrep.Wildcard && vote.Fold(n) == vote.Fold(voter)
	})
}

// has lists the voters that count, as "ANY 2 (s1, s2, s3) has s1".
func (r *rule) has() string {
	text := r.String() + r.whose + " has "
	if len(r.counting) == 0 {
		return text + "nobody"
	}
	all := make([]string, len(r.counting))
	for i, name := range r.counting {
		all[i] = quoted(name)
	}
	return text + list(all)
}

// short reports how many voters a rule lacks.
func (r *rule) short() int { return max(0, int(r.Count)-len(r.counting)) }

// flush returns the level that commits wait for by default; nil without a rule.
func (l *look) flush() *admin.QuorumLevel {
	for i := range l.Quorum.Levels {
		if l.Quorum.Levels[i].Position == "flush" {
			return &l.Quorum.Levels[i]
		}
	}
	return nil
}

// waits judges that commits wait: for voters that are missing, or for one that stands still.
func waits(l *look) *finding {
	warning, level := l.warnedOf(admin.CommitsWait), l.flush()
	if warning == "" || level == nil {
		return nil
	}
	f := &finding{
		state: admin.VerdictWaits, since: level.Since, page: pageWaits,
		why: strings.TrimPrefix(warning, admin.CommitsWait), cause: "the rule is not covered",
		do: "see which voter does not count, or is behind, and why",
	}
	by := l.Upstream.Member
	switch {
	case by != "" && strings.HasPrefix(f.why, "member "+by+", "): // it reports, and covers less than this proxy
		f.cause, f.do = by+" covers less", "wait 15 s, then see the status of "+by
	case level.Since.IsZero():
		f.head = "THE NEXT COMMIT WAITS"
	}
	if a := l.Quorum.Awaited; len(a) > 0 {
		f.do = "start " + list(a) + "; only if one is gone for good: replproxy forget " + a[0]
	}
	for _, r := range l.rules() {
		if r.short() == 0 || level.Satisfiable {
			continue
		}
		who := l.missing(&r)
		f.why, f.cause = r.has(), "voters are missing"
		if len(who) > 0 {
			f.why += "; " + strings.Join(wordsOf(who), ", ")
			f.cause += ": " + strings.Join(namesOf(who), ", ")
		}
		f.do = start(who, r.short())
		break
	}
	return f
}

// votersAway judges that a rule is covered without all of its voters.
func votersAway(l *look) *finding {
	if l.warnedOf(admin.VotersAway) == "" {
		return nil
	}
	for _, r := range l.rules() {
		who := l.missing(&r)
		if len(who) == 0 {
			continue
		}
		spare := max(0, len(r.counting)-int(r.Count))
		return &finding{
			state: admin.VerdictDegraded, cause: "voters are away: " + strings.Join(namesOf(who), ", "),
			why: fmt.Sprintf("%s; %s; commits wait once %d more is lost", strings.Join(wordsOf(who), ", "), r.has(),
				spare+1),
			do: start(who, len(who)), page: pageWaits,
		}
	}
	return nil
}

// seen returns the place of a voter when it was attached last; false: it was not since the start.
func (l *look) seen(name string) (Place, bool) {
	p, ok := l.past.Seen[vote.Fold(name)]
	return p, ok
}

// silent reports whether a member is not heard. This proxy and one that is not in the list are no silent members.
func (l *look) silent(node string) bool {
	if l.Cluster == nil || node == "" {
		return false
	}
	const unheard = 3 * time.Second // three heartbeats, as warnings have it
	for _, p := range l.Cluster.Peers {
		if vote.Fold(p.Name) == vote.Fold(node) {
			return p.Heard.IsZero() || l.Now.Sub(p.LastHeard) >= unheard
		}
	}
	return false
}
