package conformance

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// authFunction is the one of docs/auth.md.
func authFunction(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- function -->\n```sql\n")
	function, _, ok := strings.Cut(rest, "```\n<!-- end -->")
	if !ok {
		t.Fatal("docs/auth.md has no function")
	}
	return function
}

// scramSite is a primary and a proxy that verifies, with TLS and two certificates; every client binds to the
// channel, and so does the proxy.
type scramSite struct {
	*site
	words []string // of libpq, for clients
	file  string
}

func newSCRAMSite(t *testing.T, in *pgtest.Install, access string) *scramSite {
	t.Helper()
	a := pgtest.NewAuthority(t, "authority")
	ofPrimary, ofProxy := a.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1"), a.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
	primary := in.Primary(t, pgtest.HBA(
		"hostssl all replproxy all scram-sha-256", "hostssl replication replproxy all scram-sha-256",
		"hostssl all app all scram-sha-256", "hostssl replication app all scram-sha-256",
		"host all postgres all trust", "host replication postgres all trust",
	), pgtest.Settings("wal_keep_size = 2GB", "ssl = on", "ssl_cert_file = '"+ofPrimary.CertFile+"'", "ssl_key_file = '"+ofPrimary.KeyFile+"'"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE replproxy LOGIN REPLICATION PASSWORD 'own' IN ROLE pg_monitor; "+
		"CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret'")
	primary.Exec(t, "CREATE DATABASE app OWNER app")
	primary.Exec(t, authFunction(t))
	secure := []string{"sslmode=verify-full", "sslrootcert=" + a.File, "channel_binding=require"}
	s := &scramSite{words: append([]string{"user=app", "password=secret"}, secure...)}
	s.file = fmt.Sprintf("upstream: {conninfo: %q}\ntls: {mode: require, cert_file: %s, key_file: %s}\n"+
		"auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)', cache_ttl: 200ms}\n%s",
		primary.Conninfo(append([]string{"user=replproxy", "password=own"}, secure...)...), ofProxy.CertFile, ofProxy.KeyFile, access)
	s.site = &site{in: in, primary: primary, proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Config: s.file})}
	return s
}

func (s *scramSite) through(words ...string) string {
	return s.proxy.Conninfo(append(append([]string(nil), s.words...), words...)...)
}

// refusal is what a physical walsender that asks sql is told; "" if it is answered.
func (s *scramSite) refusal(t *testing.T, sql string, words ...string) string {
	t.Helper()
	_, err := pgtest.Query(t.Context(), s.through(append([]string{"replication=true"}, words...)...), sql)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code + " " + e.Message
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

// TestStandbyBySCRAM: backup, standby and pgbench, each with SCRAM bound to the channel on both legs, by the
// libpq of each version. Then the primary dies, the proxy is killed, and the standby comes back to it for WAL
// that nobody else has (ruling R14). At the end its role loses what it needs.
func TestStandbyBySCRAM(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSCRAMSite(t, in, "access: [hostssl all all 127.0.0.1/32 scram-sha-256, hostssl replication app 127.0.0.1/32 scram-sha-256, "+
			"hostssl replication all 127.0.0.1/32 scram-sha-256]\n")
		so := pgtest.StandbyOptions{From: s.primary, PrimaryConninfo: s.through("application_name=standby")}
		if in.HasTools() {
			so.BaseBackup = s.through()
			in.RunTool(t, s.primary.SocketDir, "pgbench", "-i", "-q", "-s", "1", s.through("dbname=app"))
			bench := in.RunTool(t, s.primary.SocketDir, "pgbench", "-c", "4", "-j", "2", "-t", "50", s.through("dbname=app"))
			if !strings.Contains(bench, "200/200") {
				t.Errorf("pgbench:\n%s", bench)
			}
		} else if out, err := (&tlsSite{site: s.site, words: s.words}).modernPSQL(t, "SELECT current_user"); err != nil || out != "app\n" {
			t.Errorf("psql: %v, %s", err, out)
		}
		other := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "other", Config: s.file}) // to which nobody logs in before
		standby := in.Standby(t, so, pgtest.Name("standby"))
		attached(t, s.proxy, "standby")
		pgtest.WaitStreaming(t, s.primary, 2) // and no other walsender is left of the log-ins
		if n := s.primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication"); n != "2" {
			t.Errorf("%s walsenders on the primary", n)
		}
		pgtest.WaitCaughtUp(t, s.primary, standby)

		standby.Stop(t, pgtest.Fast)
		s.primary.Exec(t, "CREATE TABLE last (n int); INSERT INTO last VALUES (1)")
		end := s.primary.CurrentLSN(t)
		for _, p := range []*pgtest.Proxy{s.proxy, other} {
			pgtest.WaitFor(t, time.Minute, p.Name+" to have it", func() (bool, error) { return status(t, p).Store.Flushed >= end, nil })
			pgtest.WaitFor(t, time.Minute, p.Name+" to keep the role", func() (bool, error) {
				b, _ := os.ReadFile(filepath.Join(p.DataDir, "auth", "roles"))
				return strings.Contains(string(b), `"app"`) && strings.Contains(string(b), "server_version"), nil
			})
		}
		s.primary.Kill9(t)
		for _, p := range []*pgtest.Proxy{s.proxy, other} {
			p.Kill9(t)
			p.StartNoWait(t)
		}
		back := s.proxy
		if in.Major != 17 { // to the other one, where it has never been
			back = other
			standby.Set(t, "primary_conninfo = '"+other.Conninfo(append(slices.Clone(s.words), "application_name=standby")...)+"'")
		}
		standby.Start(t)
		standby.WaitReplay(t, end)
		attached(t, back, "standby")
		for sql, want := range map[string]string{"SHOW wal_segment_size": "", "IDENTIFY_SYSTEM": "", "BASE_BACKUP": "57P03 cannot connect to the primary"} {
			if got := s.refusal(t, sql); got != want {
				t.Errorf("%s while the primary is down: %q", sql, got)
			}
		}
		wrong, unknown := s.refusal(t, "IDENTIFY_SYSTEM", "password=wrong"), s.refusal(t, "IDENTIFY_SYSTEM", "user=nobody")
		if wrong != unknown || wrong != "57P03 cannot connect to the primary" {
			t.Errorf("wrong password %q, unknown role %q", wrong, unknown)
		}

		s.primary.Start(t)
		s.proxy.WaitReady(t)
		noReplication := "42501 must be superuser or replication role to start walsender"
		if in.Major >= 16 {
			noReplication = "42501 permission denied to start WAL sender"
		}
		for _, tc := range []struct{ sql, want string }{
			{"ALTER ROLE app NOREPLICATION", noReplication},
			{"ALTER ROLE app REPLICATION NOLOGIN", `28000 role "app" is not permitted to log in`},
			{"ALTER ROLE app LOGIN VALID UNTIL '2001-01-01'", `28P01 password authentication failed for user "app"`},
			{"ALTER ROLE app VALID UNTIL 'infinity' PASSWORD NULL", `28P01 password authentication failed for user "app"`},
			{"SET password_encryption = 'scram-sha-256'; ALTER ROLE app PASSWORD 'secret'", ""},
			{"DROP DATABASE app", ""},
			{"DROP ROLE app", `28P01 password authentication failed for user "app"`},
		} {
			s.primary.Exec(t, tc.sql)
			pgtest.WaitFor(t, time.Minute, tc.sql, func() (bool, error) { return s.refusal(t, "IDENTIFY_SYSTEM") == tc.want, nil })
		}
		if log := s.proxy.Log(); strings.Contains(log, "secret") || strings.Contains(log, "SCRAM-SHA-256$") {
			t.Error("a secret is in the log")
		}
	}, 15, 17, 18)
}

// TestStandbyByUsersFile: roles of a file, of which the primary knows nothing, and what happens when it changes.
func TestStandbyByUsersFile(t *testing.T) {
	in := pgtest.Need(t, 15)
	dir := in.TempDir(t)
	file := filepath.Join(dir, "users")
	primary := in.Primary(t)
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app PASSWORD 'secret'")
	verifier := primary.Scalar(t, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
	primary.Exec(t, "DROP ROLE app")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Stopped: true, Config: fmt.Sprintf("upstream: {conninfo: %q}\n"+
		"auth: {method: scram, users_file: %s}\naccess: [host replication all 127.0.0.1/32 scram-sha-256]\n", primary.Conninfo(), file)})
	line := func(words string) { proxy.WriteFile(t, file, fmt.Sprintf("\"app\" %q %s\n", verifier, words)) }
	line("replication")
	proxy.Start(t)
	s := &scramSite{site: &site{in: in, primary: primary, proxy: proxy}, words: []string{"user=app", "password=secret", "sslmode=disable"}}
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: s.through("application_name=standby")})
	attached(t, proxy, "standby")
	pgtest.WaitCaughtUp(t, primary, standby)
	for words, want := range map[string]string{
		"":                     "42501 must be superuser or replication role to start walsender",
		"superuser":            "",
		"replication nologin":  `28000 role "app" is not permitted to log in`,
		"replication nonsense": `28000 role "app" is not permitted to log in`, // not used: what was before stays
		"replication valid_until=2001-01-01T00:00:00Z": `28P01 password authentication failed for user "app"`,
	} {
		if words == "replication nonsense" {
			line("replication nologin")
			if got := s.refusal(t, "IDENTIFY_SYSTEM"); got != want {
				t.Errorf("before %s: %q", words, got)
			}
		}
		line(words)
		if got := s.refusal(t, "IDENTIFY_SYSTEM"); got != want {
			t.Errorf("%q: %q", words, got)
		}
		if st := status(t, proxy); (st.Auth.FileError != "") != (words == "replication nonsense") || st.Auth.InFile != 1 || st.Auth.Method != "scram" {
			t.Errorf("%q: %+v", words, st.Auth)
		}
	}
	line("replication")
	if got := s.refusal(t, "IDENTIFY_SYSTEM", "password=wrong") + s.refusal(t, "IDENTIFY_SYSTEM", "user=nobody"); got !=
		`28P01 password authentication failed for user "app"28P01 password authentication failed for user "nobody"` {
		t.Error(got)
	}
	// For commands that only the primary answers it has to ask for a proof, over loopback too (ruling R34).
	if got := s.refusal(t, "BASE_BACKUP"); got != `28000 log-in refused: the primary let replproxy in without asking for a proof` {
		t.Error(got)
	}
	if got := s.refusal(t, "SHOW wal_segment_size"); got != "" {
		t.Error(got)
	}
}
