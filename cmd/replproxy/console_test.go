package main

import (
	"strings"
	"testing"

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
		"SHOW STATUS;":        "name|proxy_a\n",
		"show upstream":       "streaming|",
		"SHOW VERSION":        "replproxy ",
		"SHOW STANDBYS":       "",
		"HELP":                "SHOW SLOTS|",
		"SELECT 1":            `ERROR:  syntax error at or near "SELECT"`,
		"SHOW wal_level":      `ERROR:  unrecognized configuration parameter "wal_level"`,
		"IDENTIFY_SYSTEM":     "ERROR:  syntax error",
		"SHOW STANDBYS; HELP": "ERROR:  syntax error",
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
	if res := conn.ExecParams(t.Context(), "HELP", nil, nil, nil, nil).Read(); res.Err == nil ||
		!strings.Contains(res.Err.Error(), "extended query protocol not supported in the console") {
		t.Errorf("the extended protocol: %v", res.Err)
	}
	if rows, err := pgtest.QueryConn(t.Context(), conn, "SHOW VERSION"); err != nil || len(rows) != 1 {
		t.Errorf("after an error: %v, %v", rows, err)
	}
}
