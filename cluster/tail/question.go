package tail

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// candidates returns the names that a verdict is wanted of.
func (l *look) candidates() (names []string) {
	if l.ask.Candidate != "" {
		return []string{l.ask.Candidate}
	}
	for _, s := range l.tail.Standbys {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// question returns the input of a proof which takes the end of candidate for final: whatever candidate votes for, it
// has.
func (l *look) question(candidate string) Question {
	q := Question{Begin: l.tail.Begin}
	if q.Begin == lsn.Invalid {
		q.Begin = l.leastBegin()
	}
	sessions := map[string]int{} // by name; one that nobody has may be somewhere
	anybody := 0                 // who may stand behind a *
	for i, r := range l.tail.Proxies {
		p := Proxy{Holder: l.holder(r), Unheard: !l.members[i].Heard}
		if !p.Final && !p.Unheard {
			p.Rules = rulesOf(l.members[i].Rule)
		}
		for _, d := range p.Rules {
			for _, name := range voterNames(d) {
				if name == syncrep.Wildcard {
					anybody = max(anybody, int(min(d.Names.Count, vote.MaxSessions)))
				} else if !l.isMember(name) {
					sessions[name] = 1
				}
			}
		}
		q.Proxies = append(q.Proxies, p)
	}
	for name, n := range l.sessions() {
		sessions[name] = n
	}
	for name, end := range l.ask.Ends {
		if !l.isMember(name) {
			q.Standbys = append(q.Standbys, Holder{Name: name, ID: l.id(), Final: true, End: end})
		}
	}
	for _, name := range sortedKeys(sessions) {
		if _, vouched := l.ask.Ends[name]; vouched {
			continue
		}
		for range sessions[name] {
			it := name == candidate && sessions[name] == 1
			q.Standbys = append(q.Standbys, Holder{Name: name, ID: l.id(), Final: it})
		}
	}
	for range anybody {
		q.Standbys = append(q.Standbys, Holder{Name: someStandby, ID: l.id()})
	}
	return q
}

// someStandby stands for a standby that only * names.
const someStandby = "(any other standby)"

// sessions counts them by name. A session at a proxy that is not reached may be an earlier one of a standby that has
// moved to a reached one. Two sessions at reached proxies are two standbys.
func (l *look) sessions() map[string]int {
	n := map[string]int{}
	for _, s := range l.tail.Standbys {
		n[s.Name]++
	}
	for _, m := range l.members {
		for _, s := range m.Status.Standbys {
			if n[s.Name] == 0 && !l.isMember(s.Name) {
				n[s.Name] = 1
			}
		}
	}
	return n
}

// rulesOf returns all rules on which commits under r may rest. Rules come checked from the ledger.
func rulesOf(r vote.Rule) (all []quorum.Rule) {
	texts := []vote.RuleText{r.RuleText}
	if !r.Established && r.Generation > 0 {
		texts = append(texts, r.Before)
	}
	for _, text := range texts {
		d, err := ledger.Parse(text)
		if err != nil {
			d = quorum.Rule{} // satisfied by nobody: a gap
		}
		all = append(all, d)
	}
	return all
}

// voterNames returns the folded names in a rule.
func voterNames(d quorum.Rule) (names []string) {
	for _, n := range d.Names.Names {
		names = append(names, vote.Fold(n))
	}
	for _, n := range sortedKeys(d.Zones) {
		if quorum.Priority(d.Names, quorum.Voter{Name: n}) > 0 {
			names = append(names, n)
		}
	}
	return names
}
