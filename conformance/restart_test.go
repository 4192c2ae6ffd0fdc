package conformance

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// sessions are the pids of the walsenders of a proxy, by standby.
func (s *site) sessions(t *testing.T) map[string]int32 {
	t.Helper()
	return (&cluster{proxy: s.proxy}).sessions(t)
}

// The primary restarts under load, fast, at once and after a crash, while clients write to it: no standby
// loses its connection to the proxy.
func TestUpstreamRestartUnderLoad(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		s.createSlot(t, "with_slot")
		standbys := []*pgtest.Server{s.standby(t, "with_slot", "with_slot"), s.standby(t, "without_slot", "")}
		s.primary.Exec(t, loadTable)
		s.verify(t, standbys...)
		ledger := startLedger(t, s.primary, map[string]string{
			"direct": s.primary.Conninfo(), "relayed": s.proxy.Conninfo(),
		})
		before := s.sessions(t)
		for _, stop := range []func(){
			func() { s.primary.Stop(t, pgtest.Fast) },
			func() { s.primary.Stop(t, pgtest.Immediate) },
			func() { s.primary.Kill9(t) },
		} {
			ledger.waitProgress(t, 20)
			stop()
			s.primary.Start(t)
		}
		ledger.waitProgress(t, 20)
		ledger.stop()
		s.verify(t, standbys...)
		ledger.verify(t, s.primary)
		if after := s.sessions(t); len(before) != 2 || !maps.Equal(before, after) {
			t.Errorf("standbys reconnected: %v, then %v", before, after)
		}
	}, 18)
}

// proxyAway is how long the proxy is stopped in an ordinary run; REPLPROXY_SOAK prolongs it.
const proxyAway = 6 * time.Second

// The proxy is stopped for a while under load, and the primary keeps nothing for it but what its slot asks
// for. It catches up from there, and so do its standbys.
func TestProxyStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := newSite(t, in, pgtest.InitArgs("--wal-segsize=1"),
		pgtest.Settings("wal_keep_size = 0", "max_wal_size = 4MB", "min_wal_size = 2MB"))
	s.createSlot(t, "with_slot")
	standbys := []*pgtest.Server{s.standby(t, "with_slot", "with_slot"), s.standby(t, "without_slot", "")}
	ledger := startLedger(t, s.primary, map[string]string{"direct": s.primary.Conninfo()})
	ledger.waitProgress(t, 100)
	for _, kill := range []bool{false, true} {
		if kill {
			s.proxy.Kill9(t)
		} else {
			s.proxy.Terminate(t)
		}
		at := s.primary.CurrentLSN(t)
		<-time.After(max(proxyAway, soakTime(t)) / 2)
		for range 3 {
			writeWAL(t, s.primary, 3)
			s.primary.Exec(t, "CHECKPOINT")
		}
		s.proxy.Start(t)
		ledger.waitProgress(t, 20)
		t.Logf("soak: away from %v to %v", at, s.primary.CurrentLSN(t))
	}
	acked := ledger.stop()
	s.verify(t, standbys...)
	for _, standby := range standbys {
		ledger.verify(t, standby)
	}
	st := status(t, s.proxy)
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
	s := newSite(t, older)
	s.createSlot(t, "first")
	first, second := s.standby(t, "first", "first"), s.standby(t, "second", "")
	ledger := startLedger(t, s.primary, map[string]string{
		"direct": s.primary.Conninfo(), "relayed": s.proxy.Conninfo(),
	})
	s.showsVersion(t, older)
	before := s.sessions(t)["second"]
	for _, server := range []*pgtest.Server{first, s.primary} {
		ledger.waitProgress(t, 20)
		server.Stop(t, pgtest.Fast)
		server.Install = newer
		server.Start(t)
	}
	ledger.waitProgress(t, 20)
	if after := s.sessions(t)["second"]; after != before || before == 0 {
		t.Errorf("the standby that was not restarted has session %d, had %d", after, before)
	}
	s.showsVersion(t, newer)
	second.Stop(t, pgtest.Fast)
	second.Install = newer
	second.Start(t)
	ledger.waitProgress(t, 20)
	ledger.stop()
	s.verify(t, first, second)
	ledger.verify(t, s.primary)
	for _, server := range []*pgtest.Server{s.primary, first, second} {
		if got := server.Scalar(t, "SHOW server_version_num"); got != fmt.Sprint(newer.VersionNum) {
			t.Errorf("%s runs %s", server.Name, got)
		}
	}
}

// showsVersion looks at all that the proxy says of its upstream's version.
func (s *site) showsVersion(t *testing.T, in *pgtest.Install) {
	t.Helper()
	version := func(what, text string) {
		t.Helper()
		if text != in.Version && !strings.HasPrefix(text, in.Version+" ") {
			t.Errorf("%s is %q, expected %s", what, text, in.Version)
		}
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to stream", func() (bool, error) {
		return status(t, s.proxy).Upstream.State == "streaming", nil
	})
	version("/status", status(t, s.proxy).Upstream.ServerVersion)
	for _, class := range []string{"", "replication=database", "replication=true"} {
		conn, err := pgtest.Dial(t.Context(), s.proxy.Conninfo(class))
		if err != nil {
			t.Fatal(err)
		}
		version("ParameterStatus with "+class, conn.ParameterStatus("server_version"))
		rows, err := pgtest.QueryConn(t.Context(), conn, "SHOW server_version")
		if err != nil {
			t.Fatal(err)
		}
		version("SHOW with "+class, rows[0][0])
		if err := conn.Close(t.Context()); err != nil { // and the walsender that it has on the primary
			t.Error(err)
		}
	}
}
