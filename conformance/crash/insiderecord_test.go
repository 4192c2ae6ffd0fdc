package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestFailoverInsideARecord: under bulk load a primary dies, and what was received and reported ends inside a
// record, as it nearly always does then. The standby of the rule is promoted, where its last complete record ends:
// nothing is missing, so it is followed at once, and nothing is moved aside (ruling R36).
func TestFailoverInsideARecord(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 4GB", "wal_writer_delay = 10ms"))
	s1 := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("s1"), pgtest.Stopped())
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: scene.Hosts(primary, s1), Config: scene.RuleFile("ANY 1 (s1)")})
	s1.Set(t, "primary_conninfo = '"+proxy.Conninfo("application_name=s1")+"'")
	s1.Start(t)
	scene.Attached(t, proxy, "s1")
	primary.Exec(t, "CREATE TABLE acked (i int)")
	primary.Set(t, "synchronous_standby_names = 'proxy'")
	primary.Reload()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to be waited for", func() (bool, error) {
		return primary.Scalar(t, "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'proxy'") == "sync", nil
	})
	const bulk = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 900000)) FROM generate_series(1, 100000)"
	go func() { _, _ = pgtest.Query(context.WithoutCancel(t.Context()), primary.Conninfo(), bulk) }()
	began := primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the bulk load", func() (bool, error) {
		return primary.CurrentLSN(t) > began+4<<20, nil
	})
	for i := range 5 {
		primary.Exec(t, fmt.Sprintf("INSERT INTO acked VALUES (%d)", i))
	}
	primary.Kill9(t)
	// The standby has all that it was sent; what it lacks of that is on its way.
	var before lsn.LSN
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to have what the proxy has", func() (bool, error) {
		st := scene.Status(t, proxy)
		before = st.Store.Received
		return len(st.Standbys) == 1 && st.Standbys[0].Flush == before, nil
	})
	t.Logf("received up to %s", before)
	s1.Promote(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "timeline 2 to be followed", func() (bool, error) {
		if log := proxy.Log(); strings.Contains(log, "lacks acknowledged WAL") || strings.Contains(log, "moved aside") {
			return false, fmt.Errorf("something is said to be missing")
		}
		return scene.Status(t, proxy).Store.Timeline == 2, nil
	})
	t.Logf("followed: %s", forkOf(t, s1))
	if got := s1.Scalar(t, "SELECT count(*) FROM acked"); got != "5" {
		t.Errorf("%s acknowledged rows", got)
	}
	if names, err := os.ReadDir(filepath.Join(proxy.DataDir, "diverged")); err == nil {
		t.Errorf("WAL was moved aside: %v", names)
	}
	if log := proxy.Log(); strings.Contains(log, "level=ERROR") {
		t.Error("the log has an error")
	}
}

// forkOf is the history file of the timeline to which a server was promoted.
func forkOf(t *testing.T, s *pgtest.Server) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.WALDir(), "00000002.history"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
