package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// coversNothing is the time after which WAL that the rule does not cover shows that commits wait. A standby that keeps
// up reports within wal_receiver_status_interval, which is as long.
const coversNothing = 10 * time.Second

// Running judges a proxy that runs by what it says of itself. Where the primary's commits wait for nobody, by its
// synchronous_standby_names, that they would wait is no failure yet.
func Running(s *admin.Status, primary Facts) []Check {
	c := commits(s)
	if c.Level == Fail && primary.waitsForNobody() {
		c.Level, c.Remedy = Warn, "The primary waits for nobody now. Before it waits for this proxy: "+c.Remedy
	}
	return slices.Concat([]Check{follows(s), c}, members(s))
}

// waitsForNobody reports whether synchronous_standby_names of the primary is known and empty.
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
		if u.LostBy != nil && u.Lack == nil {
			c.Remedy = promoteInstead(u.LostBy)
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
	at := slices.IndexFunc(s.Quorum.Levels, func(l admin.QuorumLevel) bool { return l.Position == "flush" })
	switch warned := slices.IndexFunc(s.Warnings, isCommitsWait); {
	case warned >= 0:
		c.Level, c.Text = Fail, s.Warnings[warned]
	case at < 0:
		c.Text = "no rule: a commit that waits for this proxy is durable in its store only"
		return c
	case lags(s.Quorum.Levels[at], s.Now):
		l := s.Quorum.Levels[at]
		c.Level, c.Text = Fail, admin.CommitsWait+fmt.Sprintf("the rule has covered no more than %s since %s; %s",
			show.Position(l.Quorum), l.Since.UTC().Format(time.TimeOnly), slowest(s.Quorum.Voters))
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

// lags reports whether a position has not been covered for so long that it is no matter of moments.
func lags(l admin.QuorumLevel, now time.Time) bool {
	return !l.Since.IsZero() && l.Behind != nil && *l.Behind > 0 && now.Sub(l.Since) >= coversNothing
}

// slowest names the voters that have not flushed all.
func slowest(all []admin.QuorumVoter) string {
	var names []string
	for _, v := range all {
		if v.FlushBehind != nil && *v.FlushBehind > 0 {
			names = append(names, fmt.Sprintf("%s is %s behind", v.Name, show.Bytes(*v.FlushBehind)))
		}
	}
	if names == nil {
		return "no voter says that it is behind"
	}
	return strings.Join(names, ", ")
}

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
