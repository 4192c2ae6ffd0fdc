package preflight

import (
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// syncNames judges the primary's synchronous_standby_names by the names of the proxies and of the standbys behind them
// (R27). Which standbys will be behind the proxy is not known beforehand, so a name that the primary does not see now
// is told as a risk. Where too few are there to satisfy it, commits hang: that is a failure.
func syncNames(s Setup, f Facts) Check {
	c := Check{Name: "synchronous_standby_names"}
	setting, known := f.Settings[c.Name]
	if !known {
		c.Level, c.Text = Warn, "unknown"
		c.Remedy = "Make sure that it does not name standbys that move behind this proxy: " +
			"every commit would wait for ever."
		return c
	}
	rule, err := syncrep.Parse(setting)
	if err != nil || rule.Empty() {
		c.Level, c.Text = OK, "empty: commits on the primary wait for nobody"
		return c
	}
	c.Level, c.Text = OK, setting
	proxies, there := s.counted(rule), seen(s, f, rule)
	switch unseen := s.unseen(f, rule); {
	case proxies >= int(rule.Count) && s.Rule == "" && rule.Priority(s.Name) > 0:
		c.waitsForUs()
	case f.SQL != nil && proxies < int(rule.Count):
		c.Level = Warn
		c.Text += ": whether enough of its names stream from the primary is unknown without SQL"
		c.Remedy = "Look at pg_stat_replication there: while too few do, every commit waits. " + behindIsUnseen
	case f.SQL == nil && proxies+there < int(rule.Count):
		c.Level = Fail
		c.Text += fmt.Sprintf(": it waits for %d of its names, and %d can be there: every commit waits for ever",
			rule.Count, proxies+there)
		if s.ViaCluster && proxies > 0 {
			c.Text += "; the primary sees one proxy at a time (upstream.via: cluster)"
		}
		c.Remedy = fmt.Sprintf("Name who streams from the primary, as in ANY 1 (%s), or start whom it names. %s",
			strings.Join(s.proxies(), ", "), behindIsUnseen)
	case s.Rule == "" && rule.Priority(s.Name) > 0:
		c.waitsForUs()
	case f.SQL == nil && len(unseen) > 0:
		c.Level = Warn
		c.Text += ": the primary does not see " + strings.Join(unseen, ", ")
		c.Remedy = behindIsUnseen
	}
	return c
}

const behindIsUnseen = "A standby behind the proxy never counts there: commits that need it wait for ever."

// waitsForUs makes c a warning that the primary waits for a proxy without a rule.
func (c *Check) waitsForUs() {
	c.Level = Warn
	c.Text += ": waits for this proxy, whose own rule is empty"
	c.Remedy = "A commit is then durable on the primary and in this proxy's store only, on no standby: " +
		"set synchronous_standby_names of this proxy as well."
}

// counted returns how many proxies that a rule of the primary names can stream from there at a time, if all run.
func (s Setup) counted(rule syncrep.Rule) (n int) {
	for _, name := range present(s) {
		if rule.Priority(name) > 0 && (n == 0 || !s.ViaCluster) {
			n++
		}
	}
	return n
}

// seen returns how many other walsenders of the primary a rule of it names.
func seen(s Setup, f Facts, rule syncrep.Rule) (n int) {
	for _, w := range f.Walsenders {
		if rule.Priority(w.ApplicationName) > 0 && !s.proxy(w.ApplicationName) {
			n++
		}
	}
	return n
}

// unseen returns the names of a rule that neither a walsender of the primary nor a proxy has, quoted.
func (s Setup) unseen(f Facts, rule syncrep.Rule) (names []string) {
	for _, n := range named(rule.Names) {
		if !attached(f.Walsenders, n) && !s.proxy(n) {
			names = append(names, syncrep.QuoteName(n))
		}
	}
	return names
}

// proxies returns the names of this proxy and the members, quoted.
func (s Setup) proxies() (names []string) {
	for _, name := range present(s) {
		names = append(names, syncrep.QuoteName(name))
	}
	return names
}
