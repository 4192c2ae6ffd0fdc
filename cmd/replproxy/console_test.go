package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestConsole: psql on the database replproxy. The primary decides who may look: a role without REPLICATION,
// and one with a wrong password, get the primary's own refusal; nobody's walsender is kept.
func TestConsole(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM("right"))
	primary.Exec(t, "CREATE ROLE plain LOGIN PASSWORD 'right'")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Name: "proxy_a", Password: "right"})
	database := proxy.Conninfo("dbname=replproxy")
	psql := func(conninfo, sql string) (string, error) {
		cmd := in.Tool(t, in.TempDir(t), "psql", "-X", "-A", "-t", "-d", conninfo, "-c", sql)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for sql, want := range map[string]string{
		"SHOW STATUS;": "name|proxy_a\n",
		"SELECT count(*), count(slot_name) FROM pg_stat_wal_receiver WHERE status = 'streaming'": "1|1\n",
		"SELECT pg_is_in_recovery(), flushed_lsn = pg_last_wal_receive_lsn() FROM wal":           "t|t\n",
		"SELECT usename, backend_type FROM pg_stat_activity":                                     "postgres|client backend\n",
		"SELECT r.pid FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)":                 "ERROR:  JOIN is not supported",
		"SELECT state, sent_lsn - '0/0' FROM pg_catalog.pg_stat_replication":                     "",
		"show upstream":       "streaming|",
		"SHOW VERSION":        "replproxy ",
		"SHOW STANDBYS":       "",
		"HELP":                "SHOW SLOTS|",
		"SELECT 1":            "1\n",
		"SHOW wal_level":      "replica\n",
		"SHOW no_such":        `ERROR:  unrecognized configuration parameter "no_such"`,
		"IDENTIFY_SYSTEM":     "ERROR:  syntax error",
		"SHOW STANDBYS; HELP": "SHOW SLOTS|",
	} {
		if out, err := psql(database, sql); !strings.Contains(out, want) || (err != nil) != strings.HasPrefix(want, "ERROR") {
			t.Errorf("%s: %v, %s", sql, err, out)
		}
	}
	if out, err := psql(proxy.Conninfo("dbname=replproxy user=plain"), "HELP"); err == nil || !strings.Contains(out, "replication") {
		t.Errorf("a role without REPLICATION: %v, %s", err, out)
	}
	if out, err := psql(proxy.Conninfo("dbname=replproxy password=wrong"), "HELP"); err == nil || !strings.Contains(out, "password") {
		t.Errorf("a wrong password: %v, %s", err, out)
	}
	if got := proxy.SQL(t, "SELECT current_database()", "dbname=postgres")[0][0]; got != "postgres" {
		t.Errorf("another database is not relayed: %s", got)
	}
	conn := pgtest.Connect(t, database)
	defer conn.Close(t.Context())
	pgtest.WaitStreaming(t, primary, 1)
	if res := conn.ExecParams(t.Context(), "NOTHING", nil, nil, nil, nil).Read(); res.Err == nil {
		t.Error("NOTHING was answered")
	}
	if rows, err := pgtest.QueryConn(t.Context(), conn, "SHOW VERSION"); err != nil || len(rows) != 1 {
		t.Errorf("after an error: %v, %v", rows, err)
	}
}

// TestConsoleDriver: pgx, which describes each statement and takes results in binary, reads the console as it reads
// PostgreSQL: in its default mode, with prepared statements, in transactions and without any.
func TestConsoleDriver(t *testing.T) {
	in := pgtest.Need(t, 18)
	primary := in.Primary(t)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Name: "proxy_a"})
	pgtest.WaitStreaming(t, primary, 1)
	ctx := t.Context()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		c, err := pgx.ParseConfig(proxy.Conninfo("dbname=replproxy"))
		if err != nil {
			t.Fatal(err)
		}
		c.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(ctx); err != nil || conn.PgConn().ParameterStatus("client_encoding") != "UTF8" {
			t.Errorf("%s: the encoding is %q, %v", mode, conn.PgConn().ParameterStatus("client_encoding"), err)
		}
		for range 6 { // drivers change to prepared statements and to binary after a few
			var pid int32
			var user, kind string
			var addr netip.Prefix
			var began time.Time
			var age pgtype.Interval
			err = conn.QueryRow(ctx, "SELECT pid, usename, backend_type, client_addr, backend_start, now() - backend_start "+
				"FROM pg_stat_activity WHERE usename = $1 AND pid > $2 ORDER BY pid LIMIT 1", "postgres", 5,
			).Scan(&pid, &user, &kind, &addr, &began, &age)
			if err != nil || pid == 0 || user != "postgres" || kind != "client backend" || addr.String() != "127.0.0.1/32" ||
				time.Since(began) > time.Hour || age.Microseconds == 0 {
				t.Fatalf("%s: %d %s %s %s %s %v, %v", mode, pid, user, kind, addr, began, age, err)
			}
		}
		var behind pgtype.Numeric
		var sum int64
		if err := conn.QueryRow(ctx, "SELECT pg_wal_lsn_diff('1/0', '0/0') + 0.5").Scan(&behind); err != nil || behind.Int.String() != "42949672965" {
			t.Errorf("%s: %v, %v", mode, behind, err)
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&sum); err != nil || sum != 1 {
			t.Errorf("%s: %d, %v", mode, sum, err)
		}
		if _, err := tx.Exec(ctx, "SELECT nothing FROM pg_stat_ssl"); err == nil || !strings.Contains(err.Error(), "42703") {
			t.Errorf("%s: %v", mode, err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Error(err)
		}
		batch := &pgx.Batch{}
		batch.Queue("SELECT 1")
		batch.Queue("SELECT * FROM pg_stat_replication")
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
