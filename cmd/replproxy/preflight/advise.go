package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Advise returns the warnings of "replproxy run", at start and while it runs, which /status shows, too (R1, R27).
// behind are the application_names of the standbys attached to this proxy. It is pure.
func Advise(s Setup, f Facts, behind []string) []string {
	var all []string
	if text, known := f.Settings["synchronous_standby_names"]; known {
		all = syncTraps(s, text, behind, f.Walsenders)
	} else {
		all = append(all, "the primary's synchronous_standby_names could not be asked: make sure that it does not "+
			"name standbys behind this proxy, else every commit waits for ever")
	}
	if text := namesakes(s, f); text != "" {
		all = append(all, text)
	}
	all = append(all, ruleAdvice(s, f)...)
	if missing := notAllNamed(s, f); missing != "" {
		all = append(all, missing+". "+nameAll(s))
	}
	if text := gateUnnamed(s, f); text != "" {
		all = append(all, text+". "+nameGate)
	}
	if text := openGates(s, f); text != "" {
		all = append(all, text+". "+shutGates)
	}
	if c := encryption(s, f); c.Level != OK {
		all = append(all, c.Text+". "+c.Remedy)
	}
	if c := accessCheck(s, f); s.AuthMethod == scram && c.Level != OK {
		all = append(all, c.Text+". See docs/access.md; replproxy check proposes rules")
	}
	if c := trust(s, f); f.TrustTested && c.Level != OK {
		all = append(all, c.Text+". "+c.Remedy)
	}
	for _, finding := range trusting(s, f.Gateways) {
		all = append(all, finding+". "+narrower)
	}
	return all
}

// syncTraps returns the two traps of moving standbys behind a proxy (R27).
func syncTraps(s Setup, setting string, behind []string, direct []Walsender) []string {
	rule, err := syncrep.Parse(setting)
	if err != nil || rule.Empty() {
		return nil
	}
	var all []string
	if s.Rule == "" && rule.Priority(s.Name) > 0 {
		all = append(all, fmt.Sprintf("the primary's synchronous_standby_names (%s) waits for this proxy, whose own "+
			"rule is empty: an acknowledged commit is then durable on the primary and in this proxy's store only, "+
			"on no standby; set synchronous_standby_names of this proxy as well: see docs/quorum.md", setting))
	}
	var stuck []string
	for _, name := range behind {
		exact := syncrep.Rule{Count: 1, Names: named(rule.Names)}
		if exact.Priority(name) > 0 && !attached(direct, name) && !s.proxy(name) {
			stuck = append(stuck, syncrep.QuoteName(name))
		}
	}
	if len(stuck) > 0 {
		all = append(all, fmt.Sprintf("the primary's synchronous_standby_names (%s) names %s, which is behind this "+
			"proxy where the primary does not see it: commits that need it wait for ever; name %s instead",
			setting, strings.Join(stuck, ", "), syncrep.QuoteName(s.Name)))
	}
	return all
}

// namesakes warns of another walsender of the primary that streams under this proxy's name (ruling R35).
func namesakes(s Setup, f Facts) string {
	n := 0
	for _, w := range f.Walsenders {
		if strings.EqualFold(w.ApplicationName, s.Name) && slices.Contains([]string{"catchup", "streaming"}, w.State) {
			n++
		}
	}
	if n < 2 {
		return ""
	}
	return fmt.Sprintf("%d walsenders of the primary stream under the name %s of this proxy: the primary counts the "+
		"reports of any of them as this proxy's, and a commit may rest on one that is not; see docs/runbook.md", n,
		syncrep.QuoteName(s.Name))
}

// proxy reports whether a name is that of this proxy or of another member. The primary does not see a member that does
// not pull now, which is named for the time when it does.
func (s Setup) proxy(name string) bool {
	is := func(n string) bool { return strings.EqualFold(n, name) }
	return is(s.Name) || slices.ContainsFunc(s.Members, is)
}

// named leaves out the wildcard, which says nothing about one standby.
func named(names []string) []string {
	var some []string
	for _, n := range names {
		if n != syncrep.Wildcard {
			some = append(some, n)
		}
	}
	return some
}

func attached(direct []Walsender, name string) bool {
	for _, w := range direct {
		if strings.EqualFold(w.ApplicationName, name) {
			return true
		}
	}
	return false
}

// trust returns a warning if the primary lets this host in without asking for anything (R1).
func trust(s Setup, f Facts) Check {
	c := Check{Name: "pg_hba", Level: OK, Text: "the primary asks for a proof when this host logs in"}
	if !f.Trusted {
		return c
	}
	c.Text = fmt.Sprintf("the primary lets %q in from this host without a password", s.User)
	if s.LoopbackOnly && (s.AuthMethod == scram || s.trusts()) {
		c.Text += "; the proxy listens on loopback only"
		return c
	}
	c.Level = Warn
	c.Remedy = "Use scram-sha-256 for this host in the primary's pg_hba.conf. Until then the proxy refuses log-ins " +
		"that the primary did not verify (28000), but for clients that a rule of access trusts (--access)."
	if s.AuthMethod == scram {
		c.Remedy = "Use scram-sha-256 for this host in the primary's pg_hba.conf: as it is, whoever is on this host " +
			"may log in without the proxy."
	}
	return c
}
