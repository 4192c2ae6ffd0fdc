package relay

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// tlsSite is a primary that lets role app in by scram-sha-256 over TLS only, and a proxy whose stream
// and clients log in as app.
type tlsSite struct {
	*scene.Site
	authority *pgtest.Authority
	cert      *pgtest.Certificate // of both
	words     []string            // of libpq, for every connection
	file      string              // the proxy's
}

// newTLSSite starts both. keys go into tls of the file, words into every conninfo.
func newTLSSite(t *testing.T, in *pgtest.Install, keys string, words ...string) *tlsSite {
	t.Helper()
	a := pgtest.NewAuthority(t, "authority")
	s := &tlsSite{authority: a, cert: a.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1")}
	client := a.Issue(t, pkix.Name{CommonName: "app"})
	s.words = append([]string{"user=app", "password=secret", "sslmode=verify-full", "sslrootcert=" + a.File,
		"channel_binding=require", "sslcert=" + client.CertFile, "sslkey=" + client.KeyFile}, words...)
	primary := in.Primary(t, pgtest.HBA(
		"hostssl all app all scram-sha-256", "hostssl replication app all scram-sha-256",
		"hostnossl all app all reject", "hostnossl replication app all reject",
		"host all postgres all trust", "host replication postgres all trust",
	), pgtest.Settings("wal_keep_size = 2GB", "ssl = on", "ssl_cert_file = '"+s.cert.CertFile+"'",
		"ssl_key_file = '"+s.cert.KeyFile+"'"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret' "+
		"IN ROLE pg_monitor")
	primary.Exec(t, "CREATE DATABASE app OWNER app")
	own := a.Issue(t, pkix.Name{CommonName: "proxy"}) // replaced: files of the proxy apart from the primary's
	a.Replace(t, own, s.cert)
	s.cert = own
	s.file = fmt.Sprintf("upstream: {conninfo: %q}\ntls: {mode: require, cert_file: %s, key_file: %s, client_ca_file: %s%s}\n",
		primary.Conninfo(s.words...), own.CertFile, own.KeyFile, a.File, keys)
	s.Site = &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Config: s.file})}
	return s
}

// through is a conninfo through the proxy.
func (s *tlsSite) through(words ...string) string {
	return s.Proxy.Conninfo(append(append([]string(nil), s.words...), words...)...)
}

// psql connects anew and runs sql.
func (s *tlsSite) psql(t *testing.T, sql string, words ...string) (string, error) {
	t.Helper()
	dir := s.In.TempDir(t)
	out, err := s.In.Tool(t, dir, "psql", "-XAt", "-d", s.through(words...), "-c", sql).CombinedOutput()
	return string(out), err
}

// checkLegs: the stream is encrypted, and so is every session of the proxy.
func (s *tlsSite) checkLegs(t *testing.T) {
	t.Helper()
	st := scene.Status(t, s.Proxy)
	legs := map[int32]string{}
	for _, row := range st.SSL {
		if row.Bits < 128 || !strings.HasPrefix(row.Version, "TLSv1.") || row.Cipher == "" ||
			row.PeerDN != map[string]string{"client": "CN=app", "upstream": "CN=db"}[row.Leg] {
			t.Errorf("ssl: %+v", row)
		}
		legs[row.PID] += row.Leg
	}
	if legs[0] != "upstream" {
		t.Errorf("the stream: %+v", st.SSL)
	}
	for _, standby := range st.Standbys {
		if !strings.HasPrefix(legs[standby.PID], "client") {
			t.Errorf("%s: %q", standby.ApplicationName, legs[standby.PID])
		}
	}
}

// TestEverythingOverTLS: backup, standby, pg_receivewal and pgbench, each with SCRAM bound to the channel on
// both legs, then certificates that change under way.
func TestEverythingOverTLS(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := newTLSSite(t, in, ", clientcert: verify-full")
	in.RunTool(t, s.Primary.SocketDir, "pgbench", "-i", "-q", "-s", "2", s.through("dbname=app"))
	standby := in.Standby(t, pgtest.StandbyOptions{From: s.Primary, BaseBackup: s.through(),
		PrimaryConninfo: s.through("application_name=standby")})
	dir := in.TempDir(t)
	end := (s.Primary.SegSize(t).Floor(s.Primary.CurrentLSN(t)) + 2<<24).String()
	receiver := scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.through(), "--no-loop", "--endpos="+end)
	scene.Attached(t, s.Proxy, "standby", "pg_receivewal")
	s.checkLegs(t)
	bench := in.RunTool(t, dir, "pgbench", "-c", "4", "-j", "2", "-t", "50", s.through("dbname=app"))
	if !strings.Contains(bench, "200/200") {
		t.Errorf("pgbench:\n%s", bench)
	}
	for !reached(t, s.Primary, end) {
		scene.Fill(t, s.Primary, 16)
	}
	receiver.Finish(t)
	pgtest.WaitCaughtUp(t, s.Primary, standby)
	if out := s.Primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) WHERE NOT ssl"); out != "0" {
		t.Errorf("%s walsenders of the primary in clear", out)
	}
	s.cancel(t)
	pid := scene.Attached(t, s.Proxy, "standby")[0].PID

	// A certificate of our own: what is bound to the channel cannot pass any more, everything else does.
	s.authority.Replace(t, s.cert, s.authority.Issue(t, pkix.Name{CommonName: "other"}, "127.0.0.1"))
	if out, err := s.psql(t, "SELECT 1"); err == nil || !strings.Contains(out, "channel binding cannot pass") {
		t.Errorf("bound to another certificate: %v, %s", err, out)
	}
	works := func(what string) {
		t.Helper()
		if out, err := s.psql(t, "SELECT 1", "channel_binding=disable"); err != nil || out != "1\n" {
			t.Errorf("%s: %v, %s", what, err, out)
		}
	}
	works("another certificate")
	s.Proxy.WriteFile(t, s.cert.KeyFile, "nonsense")
	works("a key that is none")
	if st := scene.Status(t, s.Proxy); st.TLS.Subject != "CN=other" || st.TLS.LastError == "" || len(st.Warnings) == 0 {
		t.Errorf("a key that is none: %+v, %q", st.TLS, st.Warnings)
	}
	if now := scene.Reload(t, s.Proxy, s.file); !strings.Contains(now.LastError, "tls.key_file") {
		t.Errorf("reloaded with a key that is none: %+v", now)
	}
	works("after a reload")
	off := scene.Reload(t, s.Proxy, strings.Replace(strings.Replace(s.file, "mode: require", "mode: off", 1),
		", clientcert: verify-full", "", 1))
	if off.LastError != "" {
		t.Errorf("off: %+v", off)
	}
	if out, err := s.psql(t, "SELECT 1"); err == nil || !strings.Contains(out, "server does not support SSL") {
		t.Errorf("off: %v, %s", err, out)
	}
	if now := scene.Attached(t, s.Proxy, "standby")[0].PID; now != pid {
		t.Errorf("the standby has another session: %d, %d before", now, pid)
	}
	pgtest.WaitCaughtUp(t, s.Primary, standby)
}

// cancel interrupts a statement: libpq 15 asks for that in clear.
func (s *tlsSite) cancel(t *testing.T) {
	t.Helper()
	sleeper := scene.StartTool(t, s.In, s.In.TempDir(t), "psql", "-X", "-d", s.through(), "-c", "SELECT pg_sleep(600)")
	pgtest.WaitFor(t, time.Minute, "the statement to run", func() (bool, error) {
		return s.Primary.Scalar(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'"+
			" AND usename = 'app'") == "1", nil
	})
	_ = sleeper.Cmd.Process.Signal(syscall.SIGINT)
	err := <-sleeper.Done
	sleeper.Done <- err
	if !strings.Contains(sleeper.Out.String(), "canceling statement due to user request") {
		t.Errorf("cancel: %v, %s", err, &sleeper.Out)
	}
}

// TestDirectTLS: TLS from the first byte on both legs, as libpq 17 and later do when asked to; client
// certificates are asked for, and the wrong one is refused.
func TestDirectTLS(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		s := newTLSSite(t, in, ", clientcert: verify-full", "sslnegotiation=direct")
		standby := in.Standby(t, pgtest.StandbyOptions{From: s.Primary,
			PrimaryConninfo: s.through("application_name=standby")})
		scene.Attached(t, s.Proxy, "standby")
		s.checkLegs(t)
		scene.Fill(t, s.Primary, 2)
		pgtest.WaitCaughtUp(t, s.Primary, standby)
		scene.Fill(t, s.Primary, 2)
		s.Proxy.Restart(t) // which sends the rest first
		scene.Attached(t, s.Proxy, "standby")
		pgtest.WaitCaughtUp(t, s.Primary, standby)
		other := s.authority.Issue(t, pkix.Name{CommonName: "other"})
		for _, tc := range []struct{ words, want string }{
			{"", "1\n"},
			{"sslcertmode=disable", "connection requires a valid client certificate"},
			{"sslcert=" + other.CertFile + " sslkey=" + other.KeyFile, `certificate authentication failed for user "app"`},
			{"sslnegotiation=postgres sslmode=disable channel_binding=disable", `database "postgres", no encryption`},
		} {
			out, err := s.modernPSQL(t, "SELECT 1", tc.words)
			var exit *exec.ExitError
			if !strings.Contains(out, tc.want) || (tc.words == "") == errors.As(err, &exit) {
				t.Errorf("%q: %v, %s", tc.words, err, out)
			}
		}
	}, 17, 18)
}

// modernPSQL is Debian's psql with the server's own libpq.
func (s *tlsSite) modernPSQL(t *testing.T, sql string, words ...string) (string, error) {
	t.Helper()
	cmd := s.In.Tool(t, s.In.TempDir(t), "psql", "-XAt", "-d", s.through(words...), "-c", sql)
	lib := filepath.Join(filepath.Dir(s.In.Bin), "lib")
	if _, err := os.Stat(lib); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+lib)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
