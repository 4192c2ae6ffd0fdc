package relay

import (
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// again breaks all connections of the proxy's own role and waits until it streams anew.
func again(t *testing.T, s *scene.Site, what string) {
	t.Helper()
	before := scene.Status(t, s.Proxy).Upstream.Reconnects
	s.Primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'replproxy'")
	pgtest.WaitFor(t, time.Minute, "the stream after "+what, func() (bool, error) {
		up := scene.Status(t, s.Proxy).Upstream
		return up.Reconnects > before && up.State == "streaming", nil
	})
}

// TestRenewedTrust: the authorities, the certificate and the key that conninfo names are renewed in the usual order.
// Each connection of every leg goes by the files as they are, as one of libpq does, without SIGHUP (ruling R47).
func TestRenewedTrust(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	was, next := pgtest.NewAuthority(t, "was"), pgtest.NewAuthority(t, "next")
	ofPrimary, own := was.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1"), was.Issue(t, pkix.Name{CommonName: "replproxy"})
	dir := in.TempDir(t)
	trusted, clients := filepath.Join(dir, "root.crt"), filepath.Join(dir, "clients.crt")
	both := string(was.PEM) + string(next.PEM)
	s := &scene.Site{In: in, Primary: in.Primary(t, pgtest.Stopped(), pgtest.HBA(
		"hostssl all replproxy all cert", "hostssl replication replproxy all cert",
		"hostssl all app all scram-sha-256", "hostssl replication app all scram-sha-256",
		"host all postgres all trust"))}
	s.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Stopped: true, Upstream: s.Primary.Conninfo("user=replproxy",
		"sslmode=verify-full", "sslrootcert="+trusted, "sslcert="+own.CertFile, "sslkey="+own.KeyFile)})
	trust := func(of *string, content string) { s.Proxy.WriteFile(t, *of, content) }
	trust(&trusted, string(was.PEM))
	trust(&clients, both)
	s.Primary.TLS(t, ofPrimary, "ssl_ca_file = '"+clients+"'")
	s.Primary.Start(t)
	s.Primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE replproxy LOGIN REPLICATION IN ROLE pg_monitor; "+
		"CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret'")
	s.Proxy.Start(t)
	through := s.Proxy.Conninfo("user=app", "password=secret", "sslmode=disable")
	legs := func(what string) {
		t.Helper()
		for _, kind := range []string{"", " replication=database", " replication=true"} {
			if _, err := pgtest.Query(t.Context(), through+kind, "SHOW server_version"); err != nil {
				t.Errorf("%s: a log-in with%s: %v", what, kind, err)
			}
		}
		again(t, s, what)
	}
	legs("the start")
	trust(&trusted, both)
	was.Replace(t, ofPrimary, next.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1"))
	s.Primary.Exec(t, "SELECT pg_reload_conf()")
	legs("the primary's certificate")
	stays := pgtest.Connect(t, through)
	trust(&trusted, string(next.PEM))
	was.Replace(t, own, next.Issue(t, pkix.Name{CommonName: "replproxy"}))
	trust(&clients, string(next.PEM))
	s.Primary.Exec(t, "SELECT pg_reload_conf()")
	legs("the client's certificate")
	began := time.Now()
	time.AfterFunc(time.Second, func() { _ = stays.CancelRequest(t.Context()) })
	if _, err := pgtest.QueryConn(t.Context(), stays, "SELECT pg_sleep(30)"); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("a cancel request of a session from before: %v after %v", err, time.Since(began))
	}
	trust(&trusted, string(was.PEM))
	if _, err := pgtest.Query(t.Context(), through, "SELECT 1"); err == nil {
		t.Error("an authority that is trusted no more lets a log-in pass")
	}
	trust(&trusted, string(next.PEM)) // nobody had to be told
	legs("the authority is back")
}

// TestServiceFile: a service file that leads elsewhere is followed when a connection is made, and at SIGHUP by the
// stream too, though the conninfo is the same (ruling R47).
func TestServiceFile(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	a := in.Primary(t)
	a.Exec(t, "CREATE ROLE replproxy LOGIN SUPERUSER")
	b := in.Standby(t, pgtest.StandbyOptions{From: a}, pgtest.Name("b"))
	file := filepath.Join(in.TempDir(t), "service")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Stopped: true, Upstream: "service=main", Env: []string{"PGSERVICEFILE=" + file}})
	leads := func(to *pgtest.Server) {
		t.Helper()
		proxy.WriteFile(t, file, fmt.Sprintf("[main]\nhost=127.0.0.1\nport=%d\nuser=replproxy\ndbname=postgres\n", to.Port))
	}
	follows := func(to *pgtest.Server, what string) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, "the stream from "+to.Name+" after "+what, func() (bool, error) {
			up := scene.Status(t, proxy).Upstream
			return up.State == "streaming" && up.Endpoint == fmt.Sprint("127.0.0.1:", to.Port), nil
		})
		port, err := pgtest.Query(t.Context(), proxy.Conninfo(), "SHOW port")
		if err != nil || port[0][0] != fmt.Sprint(to.Port) {
			t.Errorf("after %s an application is at %v: %v", what, port, err)
		}
	}
	leads(a)
	proxy.Start(t)
	follows(a, "the start")
	pgtest.WaitCaughtUp(t, a, b)
	b.Promote(t)
	leads(b) // a lives, and is left at SIGHUP
	proxy.Signal(syscall.SIGHUP)
	follows(b, "SIGHUP")

	c := in.Standby(t, pgtest.StandbyOptions{From: b}, pgtest.Name("c"))
	pgtest.WaitCaughtUp(t, b, c)
	b.Kill9(t)
	c.Promote(t)
	leads(c) // b is dead: nobody has to say anything
	follows(c, "its primary's death")
}
