package quorum

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Nothing of ours keeps the primary from stopping (ruling R38): smart as fast, with a rule, and in a cluster that
// pulls through one member. Roles that are asked for by SQL do not either. A smart stop waits for each SQL session.
func TestPrimaryStopsWhateverIsAsked(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	// stop stops the primary smart and fast, after rounds of questions.
	stop := func(t *testing.T, primary *pgtest.Server, all ...*pgtest.Proxy) {
		t.Helper()
		for _, mode := range []pgtest.StopMode{pgtest.Smart, pgtest.Fast} {
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slots to be looked after by SQL", func() (bool, error) {
				for _, p := range all {
					up := scene.Status(t, p).Upstream
					if up.State != "streaming" || up.Slot != "" && up.SlotFollows == "flushed" && up.SlotStatus == "" {
						return false, nil
					}
				}
				return true, nil
			})
			began := time.Now()
			primary.Stop(t, mode)
			t.Logf("stopped by %v within %v", mode, time.Since(began).Round(time.Millisecond))
			if took := time.Since(began); took > scene.ShutdownTime {
				t.Errorf("the primary took %v to stop", took)
			}
			primary.Start(t)
		}
	}
	t.Run("rule", func(t *testing.T) {
		t.Parallel()
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (proxy)")})
		stop(t, s.Primary, s.Proxy)
	})
	t.Run("mirrors, no rule", func(t *testing.T) {
		t.Parallel()
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: "slots: {mirror: presence}\n"})
		s.CreateSlot(t, "one")
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirror", func() (bool, error) {
			return s.Primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'one'") == "1", nil
		})
		stop(t, s.Primary, s.Proxy)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		primary := in.Primary(t)
		all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (a, b)")+"upstream:\n  via: cluster\n", "a", "b")
		scene.Puller(t, primary, all)
		stop(t, primary, all...)
	})
	t.Run("auth.query", func(t *testing.T) {
		t.Parallel()
		s := scene.NewSCRAMSite(t, in, "access: [hostssl all all 127.0.0.1/32 scram-sha-256]\n")
		if got := s.Proxy.SQL(t, "SELECT 1", s.Words...); got[0][0] != "1" {
			t.Fatal(got)
		}
		stop(t, s.Primary, s.Proxy)
	})
}
