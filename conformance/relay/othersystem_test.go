package relay

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// otherSystem is the reason, as a standby of PostgreSQL words it.
const otherSystem = "database system identifier differs between the primary and standby"

// replaced puts a new cluster of another system in the place of a primary behind a proxy, which is stopped.
func replaced(t *testing.T, old *pgtest.Server, in *pgtest.Install, opts ...pgtest.Option) *pgtest.Server {
	t.Helper()
	other := in.Primary(t, append(opts, pgtest.Name("other"), pgtest.Stopped())...)
	old.Stop(t, pgtest.Fast)
	other.Port = old.Port
	other.Set(t, "port = "+strconv.Itoa(old.Port))
	other.Start(t)
	return other
}

// mismatch waits until a proxy has seen that its primary is of another system, which readiness says at once.
func mismatch(t *testing.T, proxy *pgtest.Proxy) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, proxy.Name+" to see another system", func() (bool, error) {
		return scene.Status(t, proxy).Upstream.Foreign, nil
	})
	code, body, err := proxy.Get(t.Context(), "/readyz")
	if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(string(body), otherSystem) {
		t.Errorf("/readyz: %d %s (%v)", code, body, err)
	}
}

// TestAnotherSystem: a session gets what is of one system, also when another one is in the place of the primary (ruling
// R43). What would be relayed for a physical walsender is refused, and on a database what is physical: a session there
// is the server's own, for SQL and logical decoding.
func TestAnotherSystem(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		logical := pgtest.Settings("wal_level = logical")
		s := scene.NewSite(t, in, logical)
		s.Primary.Exec(t, "SELECT pg_create_physical_replication_slot('of_old', true)")
		was := scene.Command(t, s.Proxy, "IDENTIFY_SYSTEM")[0][0]
		open := hijack(t, s.Proxy.Conninfo("replication=true")) // and its link to the primary
		replaced(t, s.Primary, in, logical).Exec(t, "SELECT pg_create_physical_replication_slot('of_new', true)")
		mismatch(t, s.Proxy)

		if got := open.ask("BASE_BACKUP"); !strings.HasPrefix(got, "E 55000 cannot execute BASE_BACKUP: this session's ") {
			t.Errorf("BASE_BACKUP of a session that was open: %s", got)
		}
		if got := scene.Command(t, s.Proxy, "IDENTIFY_SYSTEM")[0][0]; got != was {
			t.Errorf("IDENTIFY_SYSTEM: %s, not %s", got, was)
		}
		c := hijack(t, s.Proxy.Conninfo("replication=true"))
		at := c.identify()
		relayed := []string{"SHOW server_version", "SHOW wal_segment_size", "BASE_BACKUP",
			"DROP_REPLICATION_SLOT of_new", "CREATE_REPLICATION_SLOT l LOGICAL test_decoding"}
		if in.Major >= 17 {
			relayed = append(relayed, "UPLOAD_MANIFEST")
		}
		for _, query := range relayed {
			if got := c.ask(query); got != "E 55000 "+otherSystem+" Z" {
				t.Errorf("%s: %s", query, got)
			}
		}
		if got := c.ask("START_REPLICATION " + at.String()); got != "W" {
			t.Errorf("START_REPLICATION of WAL that is stored: %s", got)
		}
		onDatabase(t, s.Proxy, at)
	})
}

func onDatabase(t *testing.T, proxy *pgtest.Proxy, at lsn.LSN) {
	t.Helper()
	d := hijack(t, proxy.Conninfo("replication=database"))
	physical := []string{"BASE_BACKUP", "START_REPLICATION PHYSICAL " + at.String(), "CREATE_REPLICATION_SLOT p PHYSICAL"}
	for _, query := range physical {
		if got := d.ask(query); got != "E 55000 "+otherSystem+" Z" {
			t.Errorf("on a database: %s: %s", query, got)
		}
	}
	for query, want := range map[string]string{
		"IDENTIFY_SYSTEM": "T D C Z", "SELECT 1": "T D C Z", "SHOW server_version": "T D C Z",
	} {
		if got := d.ask(query); got != want {
			t.Errorf("on a database: %s: %s", query, got)
		}
	}
	if got := d.ask("CREATE_REPLICATION_SLOT l TEMPORARY LOGICAL test_decoding"); got != "T D C Z" {
		t.Errorf("on a database: a logical slot: %s", got)
	}
	if got := d.ask("START_REPLICATION SLOT l LOGICAL 0/0"); got != "W" {
		t.Errorf("on a database: a logical stream: %s", got)
	}
}

// TestBaseBackupOfAnotherSystem: no backup is made of two clusters, whichever way it gets its WAL.
func TestBaseBackupOfAnotherSystem(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		scene.WriteWAL(t, s.Primary, 3)
		replaced(t, s.Primary, pgtest.Need(t, 15))
		mismatch(t, s.Proxy)
		for _, way := range [][]string{{"-X", "stream"}, {"-X", "fetch"}, {"-X", "none"}, {"-X", "stream", "-C", "-S", "b"}} {
			dir := in.TempDir(t)
			args := append([]string{"-D", filepath.Join(dir, "b"), "-d", s.Proxy.Conninfo(), "-c", "fast", "--no-sync"}, way...)
			out, err := pgtest.Need(t, 15).Tool(t, dir, "pg_basebackup", args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), otherSystem) {
				t.Errorf("pg_basebackup %v: %v\n%s", way, err, out)
			}
			if _, err := os.Stat(filepath.Join(dir, "b", "PG_VERSION")); err == nil {
				t.Errorf("pg_basebackup %v left a backup", way)
			}
		}
	}, 14, 15)
}

// TestAnotherSystemOfACluster: of several proxies those that do not pull from the primary know it as soon, and refuse
// the same.
func TestAnotherSystemOfACluster(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	all := scene.ClusterOf(t, primary.Conninfo(), "upstream:\n  via: cluster\n", "a", "b")
	scene.Puller(t, primary, all)
	replaced(t, primary, in)
	for _, p := range all {
		mismatch(t, p)
		c := hijack(t, p.Conninfo("replication=true"))
		for _, query := range []string{"SHOW server_version", "BASE_BACKUP"} {
			if got := c.ask(query); got != "E 55000 "+otherSystem+" Z" {
				t.Errorf("%s: %s: %s", p.Name, query, got)
			}
		}
	}
}
