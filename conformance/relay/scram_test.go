package relay

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestStandbyBySCRAM: backup, standby and pgbench, each with SCRAM bound to the channel on both legs, by the
// libpq of each version. Then the primary dies, the proxy is killed, and the standby comes back to it for WAL
// that nobody else has (ruling R14). At the end its role loses what it needs.
func TestStandbyBySCRAM(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSCRAMSite(t, in, "access: [hostssl all all 127.0.0.1/32 scram-sha-256, hostssl replication app 127.0.0.1/32 scram-sha-256, "+
			"hostssl replication all 127.0.0.1/32 scram-sha-256]\n")
		so := pgtest.StandbyOptions{From: s.Primary, PrimaryConninfo: s.Through("application_name=standby")}
		if in.HasTools() {
			so.BaseBackup = s.Through()
			in.RunTool(t, s.Primary.SocketDir, "pgbench", "-i", "-q", "-s", "1", s.Through("dbname=app"))
			bench := in.RunTool(t, s.Primary.SocketDir, "pgbench", "-c", "4", "-j", "2", "-t", "50", s.Through("dbname=app"))
			if !strings.Contains(bench, "200/200") {
				t.Errorf("pgbench:\n%s", bench)
			}
		} else if out, err := (&tlsSite{Site: s.Site, words: s.Words}).modernPSQL(t, "SELECT current_user"); err != nil || out != "app\n" {
			t.Errorf("psql: %v, %s", err, out)
		}
		other := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "other", Config: s.File}) // to which nobody logs in before
		standby := in.Standby(t, so, pgtest.Name("standby"))
		scene.Attached(t, s.Proxy, "standby")
		pgtest.WaitStreaming(t, s.Primary, 2) // and no other walsender is left of the log-ins
		if n := s.Primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication"); n != "2" {
			t.Errorf("%s walsenders on the primary", n)
		}
		pgtest.WaitCaughtUp(t, s.Primary, standby)

		standby.Stop(t, pgtest.Fast)
		s.Primary.Exec(t, "CREATE TABLE last (n int); INSERT INTO last VALUES (1)")
		end := s.Primary.CurrentLSN(t)
		for _, p := range []*pgtest.Proxy{s.Proxy, other} {
			pgtest.WaitFor(t, time.Minute, p.Name+" to have it", func() (bool, error) { return scene.Status(t, p).Store.Flushed >= end, nil })
			pgtest.WaitFor(t, time.Minute, p.Name+" to keep the role", func() (bool, error) {
				b, _ := os.ReadFile(filepath.Join(p.DataDir, "auth", "roles"))
				return strings.Contains(string(b), `"app"`) && strings.Contains(string(b), "server_version"), nil
			})
		}
		s.Primary.Kill9(t)
		for _, p := range []*pgtest.Proxy{s.Proxy, other} {
			p.Kill9(t)
			p.StartNoWait(t)
		}
		back := s.Proxy
		if in.Major != 17 { // to the other one, where it has never been
			back = other
			standby.Set(t, "primary_conninfo = '"+other.Conninfo(append(slices.Clone(s.Words), "application_name=standby")...)+"'")
		}
		standby.Start(t)
		standby.WaitReplay(t, end)
		scene.Attached(t, back, "standby")
		for sql, want := range map[string]string{"SHOW wal_segment_size": "", "IDENTIFY_SYSTEM": "", "BASE_BACKUP": "57P03 cannot connect to the primary"} {
			if got := s.Refusal(t, sql); got != want {
				t.Errorf("%s while the primary is down: %q", sql, got)
			}
		}
		wrong, unknown := s.Refusal(t, "IDENTIFY_SYSTEM", "password=wrong"), s.Refusal(t, "IDENTIFY_SYSTEM", "user=nobody")
		if wrong != unknown || wrong != "57P03 cannot connect to the primary" {
			t.Errorf("wrong password %q, unknown role %q", wrong, unknown)
		}

		s.Primary.Start(t)
		s.Proxy.WaitReady(t)
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
			s.Primary.Exec(t, tc.sql)
			pgtest.WaitFor(t, time.Minute, tc.sql, func() (bool, error) { return s.Refusal(t, "IDENTIFY_SYSTEM") == tc.want, nil })
		}
		if log := s.Proxy.Log(); strings.Contains(log, "secret") || strings.Contains(log, "SCRAM-SHA-256$") {
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
	s := &scene.ScramSite{Site: &scene.Site{In: in, Primary: primary, Proxy: proxy}, Words: []string{"user=app", "password=secret", "sslmode=disable"}}
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: s.Through("application_name=standby")})
	scene.Attached(t, proxy, "standby")
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
			if got := s.Refusal(t, "IDENTIFY_SYSTEM"); got != want {
				t.Errorf("before %s: %q", words, got)
			}
		}
		line(words)
		if got := s.Refusal(t, "IDENTIFY_SYSTEM"); got != want {
			t.Errorf("%q: %q", words, got)
		}
		if st := scene.Status(t, proxy); (st.Auth.FileError != "") != (words == "replication nonsense") || st.Auth.InFile != 1 || st.Auth.Method != "scram" {
			t.Errorf("%q: %+v", words, st.Auth)
		}
	}
	line("replication")
	if got := s.Refusal(t, "IDENTIFY_SYSTEM", "password=wrong") + s.Refusal(t, "IDENTIFY_SYSTEM", "user=nobody"); got !=
		`28P01 password authentication failed for user "app"28P01 password authentication failed for user "nobody"` {
		t.Error(got)
	}
	// For commands that only the primary answers it has to ask for a proof, over loopback too (ruling R34).
	if got := s.Refusal(t, "BASE_BACKUP"); got != `28000 log-in refused: the primary let replproxy in without asking for a proof` {
		t.Error(got)
	}
	if got := s.Refusal(t, "SHOW wal_segment_size"); got != "" {
		t.Error(got)
	}
}
