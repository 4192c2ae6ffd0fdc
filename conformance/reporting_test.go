package conformance

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// The rule is not satisfied for long: commits wait, the primary keeps no WAL for that (the proxy's slot
// follows its store), and a proxy that was killed meanwhile goes on without a gap. Then the voter comes.
func TestRuleUnsatisfiedForLong(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newQuorumSite(t, in, "s1", 1)
		s.standbys[0].Stop(t, pgtest.Fast)
		c := s.begin(t, "on")
		fill(t, s.primary, 40)
		follows := func() {
			t.Helper()
			at := s.primary.CurrentLSN(t).String()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to reach "+at, func() (bool, error) {
				return s.primary.Scalar(t, "SELECT NOT active AND restart_lsn >= '"+at+
					"' FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'") == "t", nil
			})
		}
		follows()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to say so", func() (bool, error) {
			u := status(t, s.proxy).Upstream
			return u.SlotFollows == "flushed" && u.SlotStatus == "reserved" && u.ReportedFlush < c.at, nil
		})
		s.proxy.Kill9(t)
		fill(t, s.primary, 20)
		s.primary.Exec(t, "CHECKPOINT")
		s.proxy.Start(t)
		follows()
		if !s.waits(t, c) {
			t.Error("the commit does not wait any more")
		}
		s.standbys[0].Start(t)
		c.released(t)
		s.verify(t, s.standbys...)
		if st := status(t, s.proxy).Upstream; st.Promised < c.at || st.SlotRecreated != 0 || st.LetGo != 0 {
			t.Errorf("%+v", st)
		}
	}, 14, 18)
}

// The primary stops fast although the voters are missing: the commit that waits is told so, the proxy
// does not answer in a storm, and afterwards all goes on.
func TestPrimaryStopsWithVotersMissing(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "s1", 0)
	s.primary.Set(t, "wal_sender_timeout = 0") // or a walsender's end might have that cause
	s.primary.Restart(t)
	pgtest.WaitStreaming(t, s.primary, 1)
	c := s.begin(t, "on")
	before := status(t, s.proxy).Upstream
	s.primary.Stop(t, pgtest.Fast)
	if <-c.done == nil {
		t.Error("the commit was acknowledged")
	}
	after := status(t, s.proxy).Upstream
	if after.LetGo != before.LetGo+1 || after.Promised != before.Promised || after.Reports-before.Reports > 200 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.primary.Start(t)
	s.proxy.WaitReady(t)
	standby := s.standby(t, "s1", "")
	s.begin(t, "on").released(t)
	s.verify(t, standby)
}

// A server is promoted that lacks what was acknowledged under the rule: the proxy raises an alarm and
// does not follow it before the operator says so.
func TestTimelineLacksAcknowledgedWAL(t *testing.T) {
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB")
	c := &cluster{in: in, primary: in.Primary(t, settings)}
	c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"))
	c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: hosts(c.primary, c.candidate), Args: []string{"--synchronous-standby-names", "s1"},
	})
	s := &quorumSite{site: &site{in: in, primary: c.primary, proxy: c.proxy}}
	c.primary.Exec(t, "CREATE TABLE q (n int)")
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	s.standby(t, "s1", "")
	s.waitSync(t)
	s.begin(t, "on").released(t)
	c.candidate.Stop(t, pgtest.Fast)
	acknowledged := s.begin(t, "on")
	acknowledged.released(t)
	c.primary.Kill9(t)
	c.candidate.Start(t)
	c.candidate.Promote(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the alarm", func() (bool, error) { return status(t, c.proxy).Upstream.Lack != nil, nil })
	st := status(t, c.proxy)
	if l := st.Upstream.Lack; l.Timeline != 2 || l.To < acknowledged.at || st.Store.Timeline != 1 ||
		!strings.Contains(strings.Join(st.Warnings, "\n"), "timeline 2 lacks acknowledged WAL from "+l.From.String()+" to "+l.To.String()) {
		t.Errorf("%+v, %q", l, st.Warnings)
	}
	if _, metrics, err := c.proxy.Get(t.Context(), "/metrics"); err != nil ||
		strings.Contains(string(metrics), "\nreplproxy_walreceiver_lacking_bytes 0\n") {
		t.Errorf("no alarm in the metrics, %v", err)
	}
	accept := exec.Command(pgtest.Binary(t), "accept-timeline", "2", "--data-dir", c.proxy.DataDir)
	if out, err := accept.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.follows(t, c.candidate, 2)
	if st := status(t, c.proxy).Upstream; st.Lack != nil || st.State != "streaming" {
		t.Errorf("%+v", st)
	}
}
