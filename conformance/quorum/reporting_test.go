package quorum

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// The rule is not satisfied for long: commits wait, and the primary keeps no WAL for that (the proxy's slot follows
// its store). A proxy that was killed meanwhile goes on without a gap. Then the voter comes.
func TestRuleUnsatisfiedForLong(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newQuorumSite(t, in, "s1", 1)
		s.Standbys[0].Stop(t, pgtest.Fast)
		c := s.Begin(t, "on")
		scene.Fill(t, s.Primary, 40)
		follows := func() {
			t.Helper()
			at := s.Primary.CurrentLSN(t).String()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to reach "+at, func() (bool, error) {
				return s.Primary.Scalar(t, "SELECT NOT active AND restart_lsn >= '"+at+
					"' FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'") == "t", nil
			})
		}
		follows()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to say so", func() (bool, error) {
			u := scene.Status(t, s.Proxy).Upstream
			return u.SlotFollows == "flushed" && u.SlotStatus == "reserved" && u.ReportedFlush < c.At, nil
		})
		s.Proxy.Kill9(t)
		scene.Fill(t, s.Primary, 20)
		s.Primary.Exec(t, "CHECKPOINT")
		s.Proxy.Start(t)
		follows()
		if !s.Waits(t, c) {
			t.Error("the commit does not wait any more")
		}
		s.Standbys[0].Start(t)
		c.Released(t)
		s.Verify(t, s.Standbys...)
		if st := scene.Status(t, s.Proxy).Upstream; st.Promised < c.At || st.SlotRecreated != 0 || st.Releases != 0 {
			t.Errorf("%+v", st)
		}
	}, 14, 18)
}

// The primary stops fast although the voters are missing: the commit that waits is told so, the proxy
// does not answer in a storm, and afterwards all goes on.
func TestPrimaryStopsWithVotersMissing(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "s1", 0)
	s.Primary.Set(t, "wal_sender_timeout = 0") // or a walsender's end might have that cause
	s.Primary.Restart(t)
	pgtest.WaitStreaming(t, s.Primary, 1)
	c := s.Begin(t, "on")
	before := scene.Status(t, s.Proxy).Upstream
	s.Primary.Stop(t, pgtest.Fast)
	if <-c.Done == nil {
		t.Error("the commit was acknowledged")
	}
	after := before
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the release to be counted", func() (bool, error) { // it may be behind the stop
		after = scene.Status(t, s.Proxy).Upstream
		return after.Releases > before.Releases, nil
	})
	if after.Releases != before.Releases+1 || after.Promised != before.Promised || after.Reports-before.Reports > 200 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.Primary.Start(t)
	s.Proxy.WaitReady(t)
	standby := s.Standby(t, "s1", "")
	s.Begin(t, "on").Released(t)
	s.Verify(t, standby)
}

// TestPrimaryStopsWhileFenced: a fence withholds all positions for good, and a fast stop of the primary waits for nobody.
func TestPrimaryStopsWhileFenced(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 1 (s1)", 1)
	s.Primary.Set(t, "wal_sender_timeout = 0") // or a walsender's end might have that cause
	s.Primary.Restart(t)
	pgtest.WaitStreaming(t, s.Primary, 1)
	s.Begin(t, "on").Released(t)
	out, err := exec.Command(pgtest.Binary(t), "fence", "--timeline", "1", "--data-dir", s.Proxy.DataDir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := s.Begin(t, "on")
	s.Primary.Stop(t, pgtest.Fast)
	if <-c.Done == nil {
		t.Error("the commit was acknowledged")
	}
}

// A server is promoted that lacks what was acknowledged under the rule: the proxy raises an alarm and
// does not follow it before the operator says so.
func TestTimelineLacksAcknowledgedWAL(t *testing.T) {
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(c.Primary, c.Candidate), Args: []string{"--synchronous-standby-names", "s1"},
	})
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: c.Primary, Proxy: c.Proxy}}
	c.Primary.Exec(t, "CREATE TABLE q (n int)")
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	s.Standby(t, "s1", "")
	s.WaitSync(t)
	s.Begin(t, "on").Released(t)
	c.Candidate.Stop(t, pgtest.Fast)
	acknowledged := s.Begin(t, "on")
	acknowledged.Released(t)
	c.Primary.Kill9(t)
	c.Candidate.Start(t)
	c.Candidate.Promote(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the alarm", func() (bool, error) { return scene.Status(t, c.Proxy).Upstream.Lack != nil, nil })
	st := scene.Status(t, c.Proxy)
	if l := st.Upstream.Lack; l.Timeline != 2 || l.To < acknowledged.At || st.Store.Timeline != 1 ||
		!strings.Contains(strings.Join(st.Warnings, "\n"), "timeline 2 lacks acknowledged WAL from "+l.From.String()+" to "+l.To.String()) {
		t.Errorf("%+v, %q", l, st.Warnings)
	}
	if _, metrics, err := c.Proxy.Get(t.Context(), "/metrics"); err != nil ||
		strings.Contains(string(metrics), "\nreplproxy_walreceiver_lacking_bytes 0\n") {
		t.Errorf("no alarm in the metrics, %v", err)
	}
	accept := exec.Command(pgtest.Binary(t), "accept-timeline", "2", "--data-dir", c.Proxy.DataDir)
	if out, err := accept.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.Follows(t, c.Candidate, 2)
	if st := scene.Status(t, c.Proxy).Upstream; st.Lack != nil || st.State != "streaming" {
		t.Errorf("%+v", st)
	}
}
