package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestCommandsOfPages types the commands of the console's page, wal-fetch's, the runbook and quorum.md on one cluster.
func TestCommandsOfPages(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "ANY 1 (s1, s2, s3)", "proxy_a", "proxy_b")
	db1, s1 := e.servers["db1"], e.servers["s1"]
	e.proxies[1].Kill9(t)
	onProxy := func(block string) (string, error) {
		t.Helper()
		return e.run(t, e.machines["proxy_a"], true, block)
	}

	console := scene.OpenPage(t, "docs/console.md").Block(t, "SHOW STANDBYS")
	if said := e.sh(t, e.operator, console); !strings.Contains(said, "s1") {
		t.Errorf("the console shows %s", said)
	}
	runbook := scene.OpenPage(t, "docs/runbook.md")
	e.sh(t, e.operator, `psql "host=proxy port=6543 user=standby replication=true" -c 'CREATE_REPLICATION_SLOT s1 PHYSICAL'`)
	e.sh(t, e.operator, runbook.Block(t, "DROP_REPLICATION_SLOT"))

	// The standby gets what it lacks by restore_command, at its start.
	s1.Set(t, strings.TrimSpace(scene.OpenPage(t, "docs/wal-fetch.md").Block(t, "restore_command")))
	s1.Stop(t, pgtest.Fast)
	db1.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	db1.Exec(t, "SELECT pg_switch_wal()")
	db1.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
	s1.Start(t)
	pgtest.WaitCaughtUp(t, db1, s1)
	if !strings.Contains(s1.Log(), "restored log file") {
		t.Error("the standby did not use restore_command")
	}

	quorum := scene.OpenPage(t, "docs/quorum.md")
	pgtest.WaitFor(t, time.Minute, "proxy_b to have been silent for long enough", func() (bool, error) {
		_, err := onProxy(quorum.Block(t, "forget proxy_b"))
		return err == nil, nil
	})
	if _, err := onProxy(quorum.Block(t, "fence --timeline 1")); err != nil {
		t.Fatal(err)
	}
	commit := e.background(t, e.operator, `psql "`+conninfo("db1")+`" -Atc "INSERT INTO t VALUES (1)"`)
	pgtest.WaitFor(t, time.Minute, "a commit to wait", func() (bool, error) {
		return db1.Scalar(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1", nil
	})
	e.sh(t, e.operator, runbook.Block(t, "synchronous_standby_names = ''"))
	pgtest.WaitFor(t, time.Minute, "it to return", func() (bool, error) {
		return strings.Contains(commit.String(), "INSERT 0 1"), nil
	})
}
