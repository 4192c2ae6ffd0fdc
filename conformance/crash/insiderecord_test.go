package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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

// TestRecordIsGivenUp: a primary crashes and has lost of its WAL what lay behind the last complete record; it comes back
// on the same timeline and writes other records there. What proxy and standbys had of the old one is replaced, and
// nobody is stuck with it (ruling R36).
func TestRecordIsGivenUp(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in, pgtest.Settings("wal_writer_delay = 10ms"))
	s1 := s.Standby(t, "s1", "")
	slotted := s.Standby(t, "slotted", "")
	s.Primary.Exec(t, "CREATE TABLE acked (i int)")
	id, err := strconv.ParseUint(scene.Command(t, s.Proxy, "IDENTIFY_SYSTEM")[0][0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s.Primary.Exec(t, "INSERT INTO acked VALUES (1)")
	size := s.Primary.SegSize(t)
	for whole, received := lsn.LSN(0), lsn.LSN(0); whole == received; {
		received = crashAmidLoad(t, s)
		whole = scene.LoseTail(t, s.Primary, lsn.SystemID(id), size, received)
		t.Logf("received up to %s, the last whole record ends at %s", received, whole)
		s.Primary.Start(t)
	}
	s.Primary.Exec(t, "INSERT INTO acked VALUES (2)")
	if got := s.Primary.Scalar(t, "SELECT string_agg(i::text, ' ' ORDER BY i) FROM acked"); got != "1 2" {
		t.Fatalf("rows %s", got)
	}
	s.Proxy.WaitReady(t)
	scene.Fill(t, s.Primary, 2)
	s.Verify(t, s1, slotted)
	if log := s.Proxy.Log(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "differs from what is stored") ||
		!strings.Contains(log, "the beginning of a record is dropped") {
		t.Error("the log has an error, or does not say what was dropped")
	}
}

// crashAmidLoad kills a primary under bulk load, and gives up to where its proxy and two standbys have its WAL.
func crashAmidLoad(t *testing.T, s *scene.Site) (received lsn.LSN) {
	t.Helper()
	const bulk = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 900000)) FROM generate_series(1, 100000)"
	began := s.Primary.CurrentLSN(t)
	go func() { _, _ = pgtest.Query(context.WithoutCancel(t.Context()), s.Primary.Conninfo(), bulk) }()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the bulk load", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Received > began+4<<20, nil
	})
	s.Primary.Kill9(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standbys to have what the proxy has", func() (bool, error) {
		st := scene.Status(t, s.Proxy)
		received = st.Store.Received
		for _, row := range st.Standbys {
			if row.Flush != received {
				return false, nil
			}
		}
		return len(st.Standbys) == 2 && st.Upstream.State != "streaming", nil
	})
	return received
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
