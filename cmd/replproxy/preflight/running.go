package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// startGrace is the time after a start within which members are heard. One that is not heard then is away.
const startGrace = 15 * time.Second

// Running judges a proxy that runs by what it says of itself. Where the primary's commits wait for nobody, by its
// synchronous_standby_names, that they would wait is no failure yet.
func Running(s *admin.Status, primary Facts) []Check {
	c := commits(s)
	if c.Level == Fail && primary.waitsForNobody() {
		c.Level, c.Remedy = Warn, "The primary waits for nobody now. Before it waits for this proxy: "+c.Remedy
	}
	return slices.Concat([]Check{follows(s), c}, members(s))
}

// waitsForNobody reports whether synchronous_standby_names of the primary is known and empty, or no rule that can be
// read.
func (f Facts) waitsForNobody() bool {
	setting, known := f.Settings["synchronous_standby_names"]
	rule, err := syncrep.Parse(setting)
	return known && (err != nil || rule.Empty())
}

// NotRunning returns the checks that were left out, as no proxy runs: of the other members of a cluster.
func NotRunning(members []string) []Check {
	if len(members) == 0 {
		return nil
	}
	return []Check{{
		Name: "members", Level: Warn, Text: strings.Join(members, ", ") + ": not looked at, as this proxy does not run",
		Remedy: "Once it runs, check says whether it hears them.",
	}}
}

func follows(s *admin.Status) Check {
	u := &s.Upstream
	c := Check{Name: "running proxy", Level: OK, Text: s.Name + " streams from " + u.Endpoint}
	refused := u.Lack != nil && u.Member != "" // the primary is, and WAL comes from a member all the same
	if u.State != admin.Streaming || u.Stopped != "" || refused {
		c.Level, c.Text = Fail, s.Name+" does not follow a primary, it is "+u.State
		if why := cmp.Or(u.Stopped, u.LastError); why != "" {
			c.Text += ": " + why
		}
		c.Remedy = "See replproxy status and docs/runbook.md, The upstream is not followed."
		switch {
		case u.LostBy != nil && u.Lack == nil:
			c.Remedy = promoteInstead(u.LostBy)
		case s.Now.Sub(s.StartedAt) < startGrace && u.LastMessageAt.IsZero():
			c.Remedy = fmt.Sprintf("It started %s ago: ask again in 15 s. Then s%s",
				s.Now.Sub(s.StartedAt).Round(time.Second), c.Remedy[1:])
		}
	}
	return c
}

// Heed changes the remedy of checks by what the proxy that runs knows. That no host is a primary may be what an
// operator wants: the one that was has lost WAL.
func Heed(checks []Check, s *admin.Status) {
	for i, c := range checks {
		if c.Remedy == startOrPromote && s.Upstream.LostBy != nil && s.Upstream.State != admin.Streaming {
			checks[i].Remedy = promoteInstead(s.Upstream.LostBy)
		}
	}
}

// promoteInstead returns the remedy where the primary that is gone has lost WAL.
func promoteInstead(l *admin.LostBy) string {
	return fmt.Sprintf("Do not start %s again, which has lost WAL up to %s of timeline %s: promote a standby that has "+
		"that WAL (docs/failover.md, The primary has lost WAL).", cmp.Or(l.Host, "the primary"), l.To, l.Timeline)
}

// commits tells whether commits wait for the proxy, and for whom. Where the rule cannot be satisfied it says so in the
// words of the warning in /status.
func commits(s *admin.Status) Check {
	c := Check{Name: "commits", Level: OK, Text: "none waits for the rule"}
	switch warned := slices.IndexFunc(s.Warnings, isCommitsWait); {
	case warned >= 0:
		c.Level, c.Text = Fail, s.Warnings[warned]
	case len(s.Quorum.Levels) == 0:
		c.Text = "no rule: a commit that waits for this proxy is durable in its store only"
		return c
	case s.Upstream.State != admin.Streaming:
		c.Level, c.Text = Warn, "not known: no WAL comes, and nothing is reported to a primary that runs"
		c.Remedy = "See running proxy."
		return c
	default:
		if i := slices.IndexFunc(s.Warnings, isVotersAway); i >= 0 {
			c.Level, c.Text = Warn, c.Text+"; "+s.Warnings[i]
			c.Remedy = "Bring them back: see the voters in replproxy status, and docs/runbook.md, Commits wait."
		}
		return c
	}
	c.Remedy = "See the voters in replproxy status, and docs/runbook.md, Commits wait."
	if i := slices.IndexFunc(s.Warnings, isNotHeardYet); i >= 0 {
		c.Remedy = "Ask again in 15 s: " + s.Warnings[i] + ". Or see" + strings.TrimPrefix(c.Remedy, "See")
	}
	return c
}

func isNotHeardYet(warning string) bool { return strings.HasPrefix(warning, admin.NotHeardYet) }

func isVotersAway(warning string) bool { return strings.HasPrefix(warning, admin.VotersAway) }

func isCommitsWait(warning string) bool { return strings.HasPrefix(warning, admin.CommitsWait) }

// members tells which other members of the cluster the proxy hears.
func members(s *admin.Status) (checks []Check) {
	if s.Cluster == nil {
		return nil
	}
	for _, p := range s.Cluster.Peers {
		if slices.Contains(s.Quorum.Forgotten, p.Name) {
			continue // an operator has said that it is gone
		}
		c := Check{Name: "member", Level: OK, Text: p.Name + " is heard"}
		switch {
		case p.Heard.IsZero():
			c.Level, c.Text = Warn, p.Name+" is not heard"
			if !p.LastHeard.IsZero() {
				c.Text += ", since " + p.LastHeard.UTC().Format(time.TimeOnly)
			}
			if p.LastError != "" {
				c.Text += ": " + p.LastError
			}
			c.Remedy = "Start it, or see docs/runbook.md, The cluster."
			if s.Now.Sub(s.StartedAt) < startGrace && p.LastHeard.IsZero() {
				c.Remedy = "This proxy started just now: ask again in 15 s. If it is not heard then, start it, or " +
					"see docs/runbook.md, The cluster."
			}
		case p.Strange != "":
			c.Level, c.Text = Warn, p.Name+" cannot be understood, so nothing that it says counts: "+p.Strange
			c.Remedy = "Give it the release of the others."
		case p.Differs != lsn.Invalid:
			c.Level = Fail
			c.Text = fmt.Sprintf("%s has other WAL than this proxy, from somewhere below %s on", p.Name, p.Differs)
			c.Remedy = "status says why: accept there what was given up, or make the store of the wrong one anew."
		}
		checks = append(checks, c)
	}
	return checks
}
