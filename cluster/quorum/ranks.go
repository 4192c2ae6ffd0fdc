package quorum

import "github.com/replproxy/replproxy/grammar/syncrep"

// ranks has the place of each name in a rule, from 1, by the name in lower case. A rule of few names needs none.
type ranks map[string]int

// ranksOf returns nil where looking through the names costs less than asking.
func ranksOf(rule syncrep.Rule) ranks {
	if len(rule.Names) <= few {
		return nil
	}
	all := make(ranks, len(rule.Names))
	for i, n := range rule.Names {
		folded := folded(n)
		if all[folded] == 0 { // PostgreSQL: the first name that matches (facts C2)
			all[folded] = i + 1
		}
	}
	return all
}

// of returns the priority as [Priority] does. The voter's name may have any case.
func (r ranks) of(rule syncrep.Rule, v *Voter) int {
	if r == nil {
		return priority(rule, v)
	}
	name := r[folded(v.Name)]
	if v.Name == syncrep.Wildcard && v.Store {
		name = 0
	}
	if any := r[syncrep.Wildcard]; !v.Store && any > 0 && (name == 0 || any < name) {
		name = any
	}
	if name > 0 && rule.Method == syncrep.Any {
		return 1
	}
	return name
}

// folded returns a name in lower case, as names of a rule are compared: only ASCII letters have case. A name that is so
// already costs no memory.
func folded(name string) string {
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	for i := range len(name) {
		if !upper(name[i]) {
			continue
		}
		b := []byte(name)
		for ; i < len(b); i++ {
			if upper(b[i]) {
				b[i] |= 0x20
			}
		}
		return string(b)
	}
	return name
}
