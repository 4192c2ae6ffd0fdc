package verdict

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

func TestWaits(t *testing.T) {
	const why = "ANY 2 (s1, s2, s3) has 1 candidate"
	check(t, []scene{
		{"the sentence of the issue", func(s *admin.Status, g *Graded, p *Past) {
			unsatisfied(s, g, 117*time.Second, why)
			s.Quorum.Voters[1] = away("s2")
			silence(s, "proxy_c", time.Minute)
			p.Seen = map[string]Place{"s2": {"proxy_b", time.Date(2026, 8, 1, 2, 11, 30, 0, time.UTC)}}
		}, "commits wait", "COMMITS WAIT 1m57s: ANY 2 (s1, s2, s3) has s1; s2 is away since 02:11 (last at proxy_b), " +
			"s3 is behind proxy_c, which is silent → start proxy_c, or standby s2", "commits-wait"},
		{"no commit yet", func(s *admin.Status, g *Graded, _ *Past) {
			unsatisfied(s, g, 0, why)
			s.Quorum.Voters[1], s.Quorum.Voters[2] = away("s2"), away("s3")
			s.Quorum.Voters[2].Node, s.Quorum.Voters[2].Standing = "proxy_c", "catching up"
		}, "commits wait", "THE NEXT COMMIT WAITS: ANY 2 (s1, s2, s3) has s1; s2 was not here since the start at 09:00, " +
			"s3 does not count: catching up → start standby s2", "commits-wait"},
		{"all are needed", func(s *admin.Status, g *Graded, p *Past) {
			unsatisfied(s, g, time.Second, "ANY 2 (s1, s2) has 0 candidates")
			s.Quorum.Rule, s.Quorum.Voters = "ANY 2 (s1, s2)", []admin.QuorumVoter{away("s1"), away("s2")}
			p.Seen = map[string]Place{"s1": {"proxy_a", ago(time.Minute)}, "s2": {"proxy_b", ago(50 * time.Hour)}}
		}, "commits wait", "COMMITS WAIT 1s: ANY 2 (s1, s2) has nobody; s1 is away since 11:59, " +
			"s2 is away since 2026-07-30 10:00 (last at proxy_b) → start standby s1 and standby s2", "commits-wait"},
		{"stores", func(s *admin.Status, g *Graded, _ *Past) {
			unsatisfied(s, g, time.Minute, "x")
			s.Quorum.Rule = "ANY 2 (proxy_a, proxy_b)"
			s.Quorum.Voters = []admin.QuorumVoter{voter("proxy_a", "proxy_a"), voter("proxy_b", "proxy_b")}
			silence(s, "proxy_b", time.Minute)
		}, "commits wait", "COMMITS WAIT 1m00s: ANY 2 (proxy_a, proxy_b) has proxy_a; proxy_b is silent → start proxy_b", "commits-wait"},
		{"a wildcard", func(s *admin.Status, g *Graded, _ *Past) {
			unsatisfied(s, g, time.Minute, "x")
			s.Quorum.Rule, s.Quorum.Voters = "ANY 2 (*)", s.Quorum.Voters[:1]
		}, "commits wait", "COMMITS WAIT 1m00s: ANY 2 (*) has s1 → attach 1 more standby", "commits-wait"},
		{"another proxy's rule", func(s *admin.Status, g *Graded, _ *Past) {
			unsatisfied(s, g, time.Minute, "x")
			s.Quorum.Others = []admin.QuorumRule{{Rule: "ANY 3 (s1, s2, s9)", Proxies: []string{"proxy_b", "proxy_c"}}}
		}, "commits wait", "COMMITS WAIT 1m00s: ANY 3 (s1, s2, s9) (the rule of proxy_b and proxy_c) has s1 and s2; " +
			"s9 was not here since the start at 09:00 → start standby s9", "commits-wait"},
		{"something else holds it", func(s *admin.Status, g *Graded, _ *Past) {
			unsatisfied(s, g, time.Minute, "FIRST waits for a member that has not been heard since the start (proxy_b)")
			s.Quorum.Awaited = []string{"proxy_b"}
		}, "commits wait", "COMMITS WAIT 1m00s: FIRST waits for a member that has not been heard since the start (proxy_b) " +
			"→ start proxy_b; only if one is gone for good: replproxy forget proxy_b", "commits-wait"},
		{"a voter stands still", func(s *admin.Status, g *Graded, _ *Past) {
			s.Quorum.Levels[1].Since = ago(20 * time.Second)
			g.Stops = []string{admin.CommitsWait + "the rule has covered no more than 0/5000000 since 11:59:40; s2 is 4 kB behind"}
		}, "commits wait", "COMMITS WAIT 20s: the rule has covered no more than 0/5000000 since 11:59:40; s2 is 4 kB behind " +
			"→ see which voter does not count, or is behind, and why", "commits-wait"},
		{"who reports covers less", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.Member = "proxy_b"
			g.Stops = []string{admin.CommitsWait + "member proxy_b, which streams from the primary, covers less than this proxy"}
		}, "commits wait", "COMMITS WAIT 0s: member proxy_b, which streams from the primary, covers less than this proxy " +
			"→ wait 15 s, then see the status of proxy_b", "commits-wait"},
	})
}

func TestDegraded(t *testing.T) {
	check(t, []scene{
		{"a voter is away", func(s *admin.Status, g *Graded, p *Past) {
			s.Quorum.Voters[1] = away("s2")
			p.Seen = map[string]Place{"s2": {"proxy_b", ago(10 * time.Minute)}}
			p.State, p.Since = "degraded", ago(10*time.Minute)
			g.Loses = []string{"not heard: x", admin.VotersAway + "s2 (not attached anywhere); commits go on without them, …"}
		}, "degraded", "DEGRADED 10m00s: s2 is away since 11:50 (last at proxy_b); ANY 2 (s1, s2, s3) has s1 and s3; " +
			"commits wait once 1 more is lost → start standby s2", "commits-wait"},
		{"a member is silent", func(s *admin.Status, g *Graded, _ *Past) {
			s.Quorum.Rule = ""
			silence(s, "proxy_b", time.Minute)
			g.Loses = []string{"not heard: proxy_b, since 11:59:00: connection refused"}
		}, "degraded", "DEGRADED 1m00s: silent: proxy_b since 11:59 → start proxy_b", "the-cluster"},
		{"the disk fills", func(s *admin.Status, g *Graded, _ *Past) {
			s.Store.FreeBytes = 200 << 20
			g.Loses = []string{admin.VotersAway + "s2"}
		}, "degraded", "DEGRADED 0s: the volume of data_dir has 200 MB free, less than wal.min_free (1 GB): slots and slow standbys " +
			"lose WAL beyond wal.keep_size → make room on /data, or lower wal.keep_size", "the-disk"},
		{"the disk is full, receiving goes on", func(s *admin.Status, _ *Graded, _ *Past) { s.Store.DiskFull = true }, "degraded",
			"DEGRADED 0s: the volume of data_dir is full: 256 B of WAL are in memory only, and receiving stops when that is used up " +
				"→ make room on /data, or lower wal.keep_size", "the-disk"},
		{"nobody uses a slot", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Slots = []admin.Slot{
				{Name: "s4", Restart: 1, InactiveSince: ago(5 * time.Minute), HeldBytes: 3 << 20},
				{Name: "s5", Restart: 1, InactiveSince: ago(20 * time.Second)},
				{Name: "s6", Restart: 1, InactiveSince: ago(time.Hour), Owner: "proxy_b"},
				{Name: "s7", Restart: 1, InactiveSince: ago(time.Hour), Active: true},
			}
		}, "degraded", "DEGRADED 5m00s: nobody uses the slot s4 since 11:55 (3 MB held) → start the standby, or drop the slot if it is " +
			"gone for good", "slots"},
		{"another warning", func(_ *admin.Status, g *Graded, _ *Past) {
			g.Loses = []string{"slot s4 is lost (wal_removed): stop its standby, drop it and create it again; its standby goes on only if the WAL it needs is still in the store or in its archive", "another"}
		}, "degraded", "DEGRADED 0s: slot s4 is lost (wal_removed): stop its standby, drop it and create it again; its standby goes on only if " +
			"the WAL it needs is still in the store or in its archive → read 1 more warning", "slots"},
		{"of the graver kind", func(_ *admin.Status, g *Graded, _ *Past) {
			g.Stops = []string{"db2 is on timeline 2: db1, which is followed, is an old primary, and what is written there will be lost; " +
				"stop it (upstream.leave_old_primary)"}
			g.Loses = []string{admin.VotersAway + "s2"}
		}, "degraded", "DEGRADED 0s: db2 is on timeline 2: db1, which is followed, is an old primary, and what is written " +
			"there will be lost; stop it (upstream.leave_old_primary) → read 1 more warning",
			"the-upstream-is-not-followed"},
	})
}

// TestPast: where a voter was seen last, and since when the state is the same, goes from one document to the next. Names
// that no rule has are not kept.
func TestPast(t *testing.T) {
	s, p := sample(), Past{}
	s.Quorum.Voters = append(s.Quorum.Voters, voter("stranger", "proxy_a"))
	s.Verdict = Judge(s, Graded{}, p)
	p = p.Next(s)
	if len(p.Seen) != 3 || p.Seen["s2"] != (Place{"proxy_b", now}) || p.State != "ok" || !p.Since.Equal(now) {
		t.Fatalf("%+v", p)
	}
	s.Now, s.Upstream.LastMessageAt = now.Add(time.Minute), now.Add(time.Minute)
	s.Cluster.Peers[0].LastHeard, s.Cluster.Peers[1].LastHeard = s.Now, now
	s.Quorum.Voters[1] = away("s2")
	s.Verdict = Judge(s, Graded{}, p)
	p = p.Next(s)
	if at := p.Seen["s2"].At; !at.Equal(now) {
		t.Errorf("s2, which is away, was seen at %s", at)
	}
	if at := p.Seen["s3"].At; !at.Equal(now) {
		t.Errorf("s3, whose proxy is silent, was seen at %s", at)
	}
	if at := p.Seen["s1"].At; !at.Equal(s.Now) || !s.Verdict.Since.Equal(now) {
		t.Errorf("s1, which is there, was seen at %s; ok since %s", at, s.Verdict.Since)
	}
	s.Quorum.Rule = "ANY 1 (s1, *)"
	if p = p.Next(s); len(p.Seen) != 1 {
		t.Errorf("names that no rule has are kept: %+v", p.Seen)
	}
}

// TestGravity: where several states hold, the gravest is the verdict, in the order of admin.Verdicts.
func TestGravity(t *testing.T) {
	s, g := sample(), Graded{}
	steps := []struct {
		state  string
		change func()
	}{
		{admin.VerdictOK, func() {}},
		{admin.VerdictDegraded, func() { g.Loses = []string{"slot s4 is lost"} }},
		{admin.VerdictWaits, func() { unsatisfied(s, &g, time.Minute, "x") }},
		{admin.VerdictBlind, func() { s.Upstream.LastMessageAt = ago(time.Minute) }},
		{admin.VerdictStopped, func() { s.Upstream.Stopped = "x" }},
	}
	states := admin.Verdicts()
	for i, step := range steps {
		if step.change(); Judge(s, g, Past{}).State != step.state || states[len(states)-1-i] != step.state {
			t.Errorf("%s: %+v", step.state, Judge(s, g, Past{}))
		}
	}
}
