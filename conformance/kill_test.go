package conformance

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// killRounds is how often the proxy is killed in an ordinary run.
const killRounds = 20

// The proxy is killed with -9 under load, again and again, and the standbys are restarted now and then.
// At the end every standby equals the primary and no segment differs.
func TestKill9UnderLoad(t *testing.T) {
	in := pgtest.Usual(t)
	rng := random(t)
	s := newSite(t, in, pgtest.Settings("wal_keep_size = 16GB"))
	s.createSlot(t, "with_slot")
	standbys := []*pgtest.Server{
		s.standby(t, "with_slot", "with_slot"),
		s.standby(t, "without_slot", ""),
		s.standby(t, "third", ""),
	}
	load := startLoad(t, s.primary)
	began, rounds := time.Now(), 0
	for rounds < killRounds || time.Since(began) < soakTime(t) {
		rounds++
		<-time.After(time.Duration(rng.IntN(600)) * time.Millisecond)
		written := status(t, s.proxy).Upstream.ReportedWrite
		s.proxy.Kill9(t)
		if rng.IntN(4) == 0 {
			standbys[rng.IntN(len(standbys))].Restart(t)
		}
		if rng.IntN(3) == 0 {
			s.primary.Exec(t, "SELECT pg_switch_wal()")
		}
		<-time.After(time.Duration(rng.IntN(300)) * time.Millisecond)
		s.proxy.Start(t)
		if got := status(t, s.proxy).Store.Received; got < written {
			t.Errorf("round %d: the store ends at %v although write %v had been reported", rounds, got, written)
		}
		load.waitCommits(t, 5)
	}
	commits := load.stopLoad(t)
	s.verify(t, standbys...)
	t.Logf("soak: %d kills, %d commits, WAL up to %v", rounds, commits, s.primary.CurrentLSN(t))
}

// What was reported written survives kill -9 without help from the primary (G3): here the primary is
// down when the proxy comes back.
func TestReportedSurvivesKill9(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSite(t, in)
	load := startLoad(t, s.primary)
	for range 3 {
		load.waitCommits(t, 200)
		var reported lsn.LSN
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to be told of a commit", func() (bool, error) {
			reported = status(t, s.proxy).Upstream.ReportedWrite
			return reported > 0, nil
		})
		s.proxy.Kill9(t)
		load.stopLoad(t)
		s.primary.Stop(t, pgtest.Immediate)

		s.proxy.StartNoWait(t)
		var got string
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to show its store", func() (bool, error) {
			if code, _, err := s.proxy.Get(t.Context(), "/healthz"); err != nil || code != 200 {
				return false, nil
			}
			st := status(t, s.proxy)
			got = st.Store.Written.String()
			return st.Store.Written >= reported, nil
		})
		t.Logf("reported %v, found %s", reported, got)
		s.primary.Start(t)
		s.proxy.WaitReady(t)
		load = startLoad(t, s.primary)
	}
	load.stopLoad(t)
	s.verify(t)
}

// random makes the same choices in every ordinary run; `make soak` gives other seeds.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(firstSeed(t), 0))
}

func firstSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("REPLPROXY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("REPLPROXY_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("REPLPROXY_SEED=%d", seed)
	return seed
}

// soakTime is how long `make soak` wants a test to last at least.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("REPLPROXY_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("REPLPROXY_SOAK: %v", err)
	}
	return d
}
