package relay

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// pg_recvlogical is relayed: the slot is the primary's, the changes are the same as directly.
func TestReceiveLogical(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in, pgtest.Settings("wal_level = logical"))
		s.Primary.Exec(t, "CREATE TABLE t (id int)")
		dir := in.TempDir(t)
		in.RunTool(t, dir, "pg_recvlogical", "-d", s.Proxy.Conninfo(), "--slot=l1", "--create-slot", "-P", "test_decoding")
		s.Primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
		end := s.Primary.CurrentLSN(t)
		out := in.RunTool(t, dir, "pg_recvlogical", "-d", s.Proxy.Conninfo(), "--slot=l1", "--start",
			"-f", "-", "--endpos="+end.String(), "--no-loop")
		if n := strings.Count(out, "table public.t: INSERT:"); n != 1000 {
			t.Errorf("%d inserts decoded, want 1000; output begins\n%.500s", n, out)
		}
		if got := s.Primary.Scalar(t, "SELECT slot_type FROM pg_replication_slots WHERE slot_name = 'l1'"); got != "logical" {
			t.Errorf("slot l1 on the primary is %q", got)
		}
		in.RunTool(t, dir, "pg_recvlogical", "-d", s.Proxy.Conninfo(), "--slot=l1", "--drop-slot")
		s.Verify(t)
	})
}

// A subscription through the proxy: initial copy, then changes; the apply worker survives the proxy.
func TestSubscription(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in, pgtest.Settings("wal_level = logical"))
		standby := s.Standby(t, "standby", "")
		subscriber := in.Primary(t, pgtest.Name("subscriber"))
		const table = "CREATE TABLE t (id int PRIMARY KEY, pad text)"
		s.Primary.Exec(t, table+"; INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g; "+
			"CREATE PUBLICATION p FOR TABLE t")
		subscriber.Exec(t, table)
		subscriber.Exec(t, fmt.Sprintf("CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION p", s.Proxy.Conninfo()))
		waitSame(t, s.Primary, subscriber, "t")
		s.Primary.Exec(t, "INSERT INTO t SELECT g, 'y' FROM generate_series(20001, 21000) g; DELETE FROM t WHERE id % 7 = 0")
		waitSame(t, s.Primary, subscriber, "t")
		s.Proxy.Kill9(t)
		s.Primary.Exec(t, "UPDATE t SET pad = 'z' WHERE id % 5 = 0")
		s.Proxy.Start(t)
		waitSame(t, s.Primary, subscriber, "t")
		pgtest.EqualTable(t, s.Primary, subscriber, "t")
		// The proxy's and the subscription's. The standby's log-in is a third until it streams (R25).
		pgtest.WaitStreaming(t, s.Primary, 2)
		subscriber.Exec(t, "DROP SUBSCRIPTION sub")
		s.Verify(t, standby)
	})
}

func waitSame(t *testing.T, a, b *pgtest.Server, table string) {
	t.Helper()
	sql := "SELECT count(*), coalesce(sum(hashtextextended(x::text, 0)::numeric), 0) FROM " + table + " x"
	want := fmt.Sprint(a.SQL(t, sql))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, b.Name+" to have the rows of "+table, func() (bool, error) {
		return fmt.Sprint(b.SQL(t, sql)) == want, nil
	})
}

// pg_rewind takes a diverged former primary back, with the proxy as its source, and makes it a standby
// of that proxy.
func TestRewind(t *testing.T) {
	in := pgtest.Need(t, 15)
	checksums := pgtest.InitArgs("--data-checksums")
	old := in.Primary(t, checksums, pgtest.Name("old"), pgtest.Settings("wal_keep_size = 1GB"))
	old.Exec(t, scene.LoadTable+"; INSERT INTO load (pad) SELECT repeat('x', 200) FROM generate_series(1, 5000)")
	promoted := in.Standby(t, pgtest.StandbyOptions{From: old}, pgtest.Name("promoted"),
		pgtest.Settings("wal_keep_size = 1GB"))
	pgtest.WaitCaughtUp(t, old, promoted)
	promoted.Promote(t)
	promoted.Exec(t, "INSERT INTO load (pad) SELECT repeat('n', 200) FROM generate_series(1, 2000); CHECKPOINT")
	old.Exec(t, "INSERT INTO load (pad) SELECT repeat('o', 200) FROM generate_series(1, 3000)") // diverges
	old.Stop(t, pgtest.Fast)

	s := &scene.Site{In: in, Primary: promoted}
	s.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: promoted.Conninfo()})
	in.RunTool(t, old.SocketDir, "pg_rewind", "-D", old.Dir, "--source-server="+s.Proxy.Conninfo(), "--no-sync",
		"--config-file="+filepath.Join(old.Dir, "postgresql.conf"))
	old.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: s.Proxy.Conninfo()})
	old.Start(t)
	promoted.Exec(t, "INSERT INTO load (pad) VALUES ('after the rewind')")
	s.Verify(t, old)
	if got := old.Scalar(t, "SELECT count(*) FROM load WHERE pad LIKE 'o%'"); got != "0" {
		t.Errorf("%s rows of the abandoned timeline", got)
	}
}
