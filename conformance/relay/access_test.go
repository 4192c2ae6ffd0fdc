package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// refusedWith tries a connection and returns the SQLSTATE and the text of its refusal, "" when it worked.
func refusedWith(t *testing.T, conninfo string) string {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), conninfo)
	if err == nil {
		_ = c.Close(t.Context())
		return ""
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v", conninfo, err)
	}
	return e.Code + " " + e.Message
}

// TestAccess: the rules of each listener, in a program that runs, before and after a reload.
func TestAccess(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	primary.Exec(t, "CREATE ROLE alice LOGIN; CREATE ROLE repl LOGIN REPLICATION; CREATE ROLE adm SUPERUSER LOGIN")
	dir, port := in.TempDir(t), pgtest.FreePort(t)
	file := func(rest string) string {
		return fmt.Sprintf(`upstream: {conninfo: %q}
listen:
  - 127.0.0.1:%d # which --listen would replace
  - {address: "unix:%s", access: [local all alice trust, local replproxy adm trust]}
%s`, primary.Conninfo(), port, dir, rest)
	}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{NoListen: true, Config: file(`access:
  - host all alice 127.0.0.1/32 reject
  - host replproxy alice all trust
  - host all,replication postgres,repl,adm samehost trust
`)})
	tcp := func(extra string) string {
		return fmt.Sprintf("host=127.0.0.1 port=%d sslmode=disable dbname=postgres user=alice %s", port, extra)
	}
	socket := fmt.Sprintf("host=%s port=%d dbname=postgres user=alice ", dir, port)
	const noEntry = "28000 no pg_hba.conf entry for "
	for conninfo, want := range map[string]string{
		tcp(""):                                   `28000 pg_hba.conf rejects connection for host "127.0.0.1", user "alice", database "postgres", no encryption`,
		tcp("dbname=replproxy"):                   `28000 pg_hba.conf rejects connection for host "127.0.0.1", user "alice", database "replproxy", no encryption`,
		tcp("user=repl"):                          "",
		tcp("user=repl replication=true"):         "",
		tcp("user=postgres replication=database"): "",
		tcp("user=adm dbname=replproxy"):          "",
		tcp("user=nobody"):                        noEntry + `host "127.0.0.1", user "nobody", database "postgres", no encryption`,
		tcp("user=nobody replication=true"):       noEntry + `replication connection from host "127.0.0.1", user "nobody", no encryption`,
		socket:                                    "", // by trust: the primary asks nothing
		socket + "user=adm dbname=replproxy":      "",
		socket + "user=repl":                      noEntry + `host "[local]", user "repl", database "postgres", no encryption`,
		socket + "user=repl replication=true":     noEntry + `replication connection from host "[local]", user "repl", no encryption`,
	} {
		if got := refusedWith(t, conninfo); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", conninfo, got, want)
		}
	}
	if !strings.Contains(proxy.Log(), "access rule 1") || !strings.Contains(proxy.Log(), "no access rule matches") {
		t.Errorf("the log does not name the rules:\n%s", proxy.Log())
	}

	// A session stays; new ones are judged by the new rules; rules with an error change nothing.
	stays, err := pgconn.Connect(t.Context(), tcp("user=repl"))
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close(t.Context())
	scene.Reload(t, proxy, file("access: [host all alice all trust]\n"))
	for _, bad := range []string{"md5", ""} {
		if got := refusedWith(t, tcp("")); got != "" {
			t.Errorf("alice after the reload: %s", got)
		}
		if got := refusedWith(t, tcp("user=repl")); !strings.HasPrefix(got, noEntry) {
			t.Errorf("repl after the reload: %q", got)
		}
		if bad == "" {
			break
		}
		if st := scene.Reload(t, proxy, file("access: [host all alice all "+bad+"]\n")); !strings.Contains(st.LastError, "write relay") {
			t.Errorf("a rule with an error: %+v", st)
		}
	}
	scene.Reload(t, proxy, file("access: [host all alice all trust]\nlimits: {max_connections: 1}\n")) // which stays has
	if got := refusedWith(t, tcp("")); got != "53300 sorry, too many clients already" {
		t.Errorf("beyond max_connections: %q", got)
	}
	if by := scene.Status(t, proxy).Sessions.RefusedBy; by["connections"] != 1 || by["access"] < 5 {
		t.Errorf("refused: %v", by)
	}
	if _, err := stays.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Errorf("a session from before the reload: %v", err)
	}
}

// TestAccessForStandbys: a standby comes in by the word replication and by no other rule.
func TestAccessForStandbys(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	file := func(database string) string {
		return fmt.Sprintf("upstream: {conninfo: %q}\naccess: [host %s postgres 127.0.0.0/8 trust]\n", primary.Conninfo(), database)
	}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: file("all")})
	if got := refusedWith(t, proxy.Conninfo("replication=true")); got !=
		`28000 no pg_hba.conf entry for replication connection from host "127.0.0.1", user "postgres", no encryption` {
		t.Error(got)
	}
	scene.Reload(t, proxy, file("replication"))
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: proxy.Conninfo()})
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, standby)
}
