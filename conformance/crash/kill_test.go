package crash

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// killRounds is the number of times that the proxy is killed in an ordinary run.
const killRounds = 20

// The proxy is killed with -9 under load, again and again, and the standbys are restarted now and then.
// At the end every standby equals the primary and no segment differs.
func TestKill9UnderLoad(t *testing.T) {
	in := pgtest.Usual(t)
	rng := scene.Random(t)
	s := scene.NewSite(t, in, pgtest.Settings("wal_keep_size = 16GB"))
	s.CreateSlot(t, "with_slot")
	standbys := []*pgtest.Server{
		s.Standby(t, "with_slot", "with_slot"),
		s.Standby(t, "without_slot", ""),
		s.Standby(t, "third", ""),
	}
	load := scene.StartLoad(t, s.Primary)
	began, rounds := time.Now(), 0
	for rounds < killRounds || time.Since(began) < scene.SoakTime(t) {
		rounds++
		<-time.After(time.Duration(rng.IntN(600)) * time.Millisecond)
		written := scene.Status(t, s.Proxy).Upstream.ReportedWrite
		s.Proxy.Kill9(t)
		if rng.IntN(4) == 0 {
			standbys[rng.IntN(len(standbys))].Restart(t)
		}
		if rng.IntN(3) == 0 {
			s.Primary.Exec(t, "SELECT pg_switch_wal()")
		}
		<-time.After(time.Duration(rng.IntN(300)) * time.Millisecond)
		s.Proxy.Start(t)
		if got := scene.Status(t, s.Proxy).Store.Received; got < written {
			t.Errorf("round %d: the store ends at %v although write %v had been reported", rounds, got, written)
		}
		load.WaitCommits(t, 5)
	}
	commits := load.StopLoad(t)
	s.Verify(t, standbys...)
	t.Logf("soak: %d kills, %d commits, WAL up to %v", rounds, commits, s.Primary.CurrentLSN(t))
}

// What was reported written survives kill -9 without help from the primary (G3): here the primary is
// down when the proxy comes back.
func TestReportedSurvivesKill9(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in)
	load := scene.StartLoad(t, s.Primary)
	for range 3 {
		load.WaitCommits(t, 200)
		var reported lsn.LSN
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to be told of a commit", func() (bool, error) {
			reported = scene.Status(t, s.Proxy).Upstream.ReportedWrite
			return reported > 0, nil
		})
		s.Proxy.Kill9(t)
		load.StopLoad(t)
		s.Primary.Stop(t, pgtest.Immediate)

		s.Proxy.StartNoWait(t)
		var got string
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to show its store", func() (bool, error) {
			if code, _, err := s.Proxy.Get(t.Context(), "/healthz"); err != nil || code != 200 {
				return false, nil
			}
			st := scene.Status(t, s.Proxy)
			got = st.Store.Written.String()
			return st.Store.Written >= reported, nil
		})
		t.Logf("reported %v, found %s", reported, got)
		s.Primary.Start(t)
		s.Proxy.WaitReady(t)
		load = scene.StartLoad(t, s.Primary)
	}
	load.StopLoad(t)
	s.Verify(t)
}
