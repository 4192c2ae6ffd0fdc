package crash

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// The primary restarts under load, fast, at once and after a crash, while clients write to it: no standby
// loses its connection to the proxy.
func TestUpstreamRestartUnderLoad(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		s.CreateSlot(t, "with_slot")
		standbys := []*pgtest.Server{s.Standby(t, "with_slot", "with_slot"), s.Standby(t, "without_slot", "")}
		s.Primary.Exec(t, scene.LoadTable)
		s.Verify(t, standbys...)
		ledger := scene.StartLedger(t, s.Primary, map[string]string{
			"direct": s.Primary.Conninfo(), "relayed": s.Proxy.Conninfo(),
		})
		before := s.Sessions(t)
		for _, stop := range []func(){
			func() { s.Primary.Stop(t, pgtest.Fast) },
			func() { s.Primary.Stop(t, pgtest.Immediate) },
			func() { s.Primary.Kill9(t) },
		} {
			ledger.WaitProgress(t, 20)
			stop()
			s.Primary.Start(t)
		}
		ledger.WaitProgress(t, 20)
		ledger.Stop()
		s.Verify(t, standbys...)
		ledger.Verify(t, s.Primary)
		if after := s.Sessions(t); len(before) != 2 || !maps.Equal(before, after) {
			t.Errorf("standbys reconnected: %v, then %v", before, after)
		}
	}, 18)
}

// proxyAway is the time for which the proxy is stopped in an ordinary run; REPLPROXY_SOAK prolongs it.
const proxyAway = 6 * time.Second

// The proxy is stopped for a while under load, and the primary keeps nothing for it but what its slot asks
// for. It catches up from there, and so do its standbys.
func TestProxyStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in, pgtest.InitArgs("--wal-segsize=1"),
		pgtest.Settings("wal_keep_size = 0", "max_wal_size = 4MB", "min_wal_size = 2MB"))
	s.CreateSlot(t, "with_slot")
	standbys := []*pgtest.Server{s.Standby(t, "with_slot", "with_slot"), s.Standby(t, "without_slot", "")}
	ledger := scene.StartLedger(t, s.Primary, map[string]string{"direct": s.Primary.Conninfo()})
	ledger.WaitProgress(t, 100)
	for _, kill := range []bool{false, true} {
		if kill {
			s.Proxy.Kill9(t)
		} else {
			s.Proxy.Terminate(t)
		}
		at := s.Primary.CurrentLSN(t)
		<-time.After(max(proxyAway, scene.SoakTime(t)) / 2)
		for range 3 {
			scene.WriteWAL(t, s.Primary, 3)
			s.Primary.Exec(t, "CHECKPOINT")
		}
		s.Proxy.Start(t)
		ledger.WaitProgress(t, 20)
		t.Logf("soak: away from %v to %v", at, s.Primary.CurrentLSN(t))
	}
	acked := ledger.Stop()
	s.Verify(t, standbys...)
	for _, standby := range standbys {
		ledger.Verify(t, standby)
	}
	st := scene.Status(t, s.Proxy)
	if st.Backfill.Segments != 0 || st.LostSlots != 0 {
		t.Errorf("backfill %+v, lost slots %d", st.Backfill, st.LostSlots)
	}
	t.Logf("soak: %d rows acknowledged", acked)
}

// A rolling minor upgrade, 15.18 to 15.20, is a non-event: a standby first, then the primary, then the other
// standby, under load. Who is not restarted keeps its session, and new sessions see the new version.
func TestRollingMinorUpgrade(t *testing.T) {
	t.Parallel()
	older, newer := pgtest.NeedNPM15(t), pgtest.Need(t, 15)
	if older.VersionNum >= newer.VersionNum {
		t.Fatalf("%s is not older than %s", older.Version, newer.Version)
	}
	s := scene.NewSite(t, older)
	s.CreateSlot(t, "first")
	first, second := s.Standby(t, "first", "first"), s.Standby(t, "second", "")
	ledger := scene.StartLedger(t, s.Primary, map[string]string{
		"direct": s.Primary.Conninfo(), "relayed": s.Proxy.Conninfo(),
	})
	s.ShowsVersion(t, older)
	before := s.Sessions(t)["second"]
	for _, server := range []*pgtest.Server{first, s.Primary} {
		ledger.WaitProgress(t, 20)
		server.Stop(t, pgtest.Fast)
		server.Install = newer
		server.Start(t)
	}
	ledger.WaitProgress(t, 20)
	if after := s.Sessions(t)["second"]; after != before || before == 0 {
		t.Errorf("the standby that was not restarted has session %d, had %d", after, before)
	}
	s.ShowsVersion(t, newer)
	second.Stop(t, pgtest.Fast)
	second.Install = newer
	second.Start(t)
	ledger.WaitProgress(t, 20)
	ledger.Stop()
	s.Verify(t, first, second)
	ledger.Verify(t, s.Primary)
	for _, server := range []*pgtest.Server{s.Primary, first, second} {
		if got := server.Scalar(t, "SHOW server_version_num"); got != fmt.Sprint(newer.VersionNum) {
			t.Errorf("%s runs %s", server.Name, got)
		}
	}
}
