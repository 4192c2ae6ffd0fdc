package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// refused runs a proxy that must not come up: it wants the exit code and words in what it printed.
func refused(t *testing.T, o pgtest.ProxyOptions, code int, words ...string) {
	t.Helper()
	o.NoWait = true
	p := pgtest.StartProxy(t, o)
	if got := p.WaitExit(t); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	for _, w := range words {
		if !strings.Contains(p.Log(), w) {
			t.Errorf("%q is not in what it said:\n%s", w, p.Log())
		}
	}
}

func TestUnusableConfiguration(t *testing.T) {
	in := pgtest.Usual(t)
	t.Run("upstream that does not parse", func(t *testing.T) {
		refused(t, pgtest.ProxyOptions{Upstream: "host='127.0.0.1"}, 2, "upstream")
	})
	t.Run("upstream keyword that does not exist", func(t *testing.T) {
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1 hots=127.0.0.2"}, 2, "hots")
	})
	t.Run("unknown key", func(t *testing.T) {
		config := "wal:\n  keep_sice: 1GB\n"
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1", Config: config}, 2,
			"replproxy.yml", "keep_sice", "2", "^")
	})
	t.Run("scram without verifiers", func(t *testing.T) {
		config := "auth:\n  method: scram\n"
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1", Config: config}, 2, "scram needs verifiers", "auth.query", "2", "^")
	})
	t.Run("users file that is not there", func(t *testing.T) {
		config := "auth:\n  method: scram\n  users_file: /nowhere/users\n"
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1", Config: config}, 2, "/nowhere/users", "3", "^")
	})
	t.Run("data directory that is not writable", func(t *testing.T) {
		dir := filepath.Join(in.TempDir(t), "locked")
		if err := os.Mkdir(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 { // else the folder is root's, and the proxy is not root
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		}
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1", DataDir: filepath.Join(dir, "data")}, 1, dir, "permission denied")
	})
	t.Run("data directory with foreign files", func(t *testing.T) {
		server := in.Primary(t, pgtest.Stopped())
		refused(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1", DataDir: server.Dir}, 1, server.Dir)
		if _, err := os.Stat(filepath.Join(server.Dir, "PG_VERSION")); err != nil {
			t.Error(err)
		}
		server.Start(t) // nothing of it was touched
	})
}

// While the upstream is away a client is told so after connect_wait, in PostgreSQL's words, and the proxy
// takes the upstream up when it comes.
func TestUpstreamAway(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Stopped())
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Config: "upstream: {connect_wait: 1s}\n", NoWait: true,
	})
	pgtest.WaitFor(t, time.Minute, "the proxy to live", func() (bool, error) {
		code, _, err := proxy.Get(t.Context(), "/healthz")
		return err == nil && code == 200, nil
	})
	if code, body, err := proxy.Get(t.Context(), "/readyz"); code == 200 {
		t.Errorf("ready without an upstream: %s %v", body, err)
	}
	for _, extra := range []string{"", "replication=true", "replication=database"} {
		began := time.Now()
		_, err := pgtest.Query(t.Context(), proxy.Conninfo(extra), "SELECT 1")
		wantCode(t, err, "57P03")
		if took := time.Since(began); took > scene.WalSenderTimeout/2 {
			t.Errorf("%q waited %v for its error", extra, took)
		}
	}
	primary.Start(t)
	proxy.WaitReady(t)
	if got := proxy.SQL(t, "SELECT 1")[0][0]; got != "1" {
		t.Errorf("SELECT 1 gives %s", got)
	}
}

func wantCode(t *testing.T, err error, code string) *pgconn.PgError {
	t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		t.Errorf("error %v, want SQLSTATE %s", err, code)
		return &pgconn.PgError{}
	}
	if pgErr.Code != code {
		t.Errorf("error %v, want SQLSTATE %s", err, code)
	}
	return pgErr
}

// A store belongs to one system. Started against another it says both identifiers, serves nothing, and
// is unharmed when the right primary is back.
func TestForeignSystem(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in)
	standby := s.Standby(t, "standby", "")
	scene.WriteWAL(t, s.Primary, 20)
	s.Verify(t, standby)
	if code := s.Proxy.Terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}

	other := in.Primary(t, pgtest.Name("other"))
	wrong := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Name: s.Proxy.Name, Upstream: other.Conninfo(), DataDir: s.Proxy.DataDir, NoWait: true,
	})
	systemID := "SELECT system_identifier FROM pg_control_system()"
	ids := []string{s.Primary.Scalar(t, systemID), other.Scalar(t, systemID)}
	pgtest.WaitFor(t, time.Minute, "both system identifiers in the log", func() (bool, error) {
		return strings.Contains(wrong.Log(), ids[0]) && strings.Contains(wrong.Log(), ids[1]), nil
	})
	if wrong.Running() {
		if code, _, _ := wrong.Get(t.Context(), "/readyz"); code == 200 {
			t.Error("ready with a foreign upstream")
		}
		wrong.Terminate(t)
	}
	if slots := other.Scalar(t, "SELECT count(*) FROM pg_replication_slots"); slots != "0" {
		t.Errorf("%s slots were made on the foreign server", slots)
	}
	s.Proxy.Start(t)
	scene.WriteWAL(t, s.Primary, 1)
	s.Verify(t, standby)
}

func TestDataDirectoryInUse(t *testing.T) {
	s := scene.NewSite(t, pgtest.Usual(t))
	refused(t, pgtest.ProxyOptions{Upstream: s.Primary.Conninfo(), DataDir: s.Proxy.DataDir, Name: "second"}, 1,
		s.Proxy.DataDir)
	s.Verify(t)
}

// A standby that is ahead of the proxy (its store was restored from an older disk, say) waits without
// harm, and goes on when the proxy has caught up.
func TestStandbyAheadOfProxy(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	s := &scene.Site{In: in, Primary: primary, Proxy: proxy}
	// The standby follows the primary first, while the proxy is down.
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("ahead"))
	proxy.Kill9(t)
	scene.WriteWAL(t, primary, 64)
	pgtest.WaitCaughtUp(t, primary, standby)
	primary.Stop(t, pgtest.Fast)
	proxy.StartNoWait(t) // has less than the standby, and nowhere to get more from
	standby.Set(t, "primary_conninfo = '"+proxy.Conninfo()+"'")
	standby.Restart(t)
	before := standby.ReplayLSN(t)
	primary.Start(t)
	proxy.WaitReady(t)
	primary.Exec(t, scene.LoadTable+"; INSERT INTO load (pad) VALUES ('x')")
	s.Verify(t, standby)
	if after := standby.ReplayLSN(t); after <= before {
		t.Errorf("the standby went from %v to %v", before, after)
	}
}

// Garbage and clients that go silent halfway cost nobody else anything.
func TestGarbageAndHalfOpenClients(t *testing.T) {
	s := scene.NewSite(t, pgtest.Usual(t))
	standby := s.Standby(t, "standby", "")
	address := fmt.Sprintf("127.0.0.1:%d", s.Proxy.Port)
	garbage := map[string]string{
		"HTTP":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS ClientHello":   "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"length of zero":    "\x00\x00\x00\x00",
		"length of 2 GB":    "\x7f\xff\xff\xff\x00\x03\x00\x00",
		"protocol 2.0":      "\x00\x00\x00\x08\x00\x02\x00\x00",
		"no terminator":     "\x00\x00\x00\x0d\x00\x03\x00\x00user\x00",
		"binary":            "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0",
		"cancel of nobody":  "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02",
		"cancel cut short":  "\x00\x00\x00\x0c\x04\xd2\x16\x2e\x00\x00\x00\x01",
		"SSL, then silence": "\x00\x00\x00\x08\x04\xd2\x16\x2f",
	}
	for name, bytes := range garbage {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, address)
			if _, err := conn.Write([]byte(bytes)); err != nil {
				t.Fatal(err)
			}
			// No more is coming: the proxy must end the connection by itself, answer or not. It may
			// have done so already, then this fails.
			_ = conn.(*net.TCPConn).CloseWrite()
			if err := conn.SetReadDeadline(time.Now().Add(scene.WalSenderTimeout / 2)); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(io.LimitReader(conn, 1<<20))
			if err != nil && !errors.Is(err, net.ErrClosed) && strings.Contains(err.Error(), "timeout") {
				t.Errorf("still open after %q", answer)
			}
		})
	}
	const silent = 200
	for i := range silent {
		conn := dial(t, address)
		if _, err := conn.Write([]byte("\x00\x00\x00\x40\x00\x03\x00\x00user\x00")[:i%13]); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	load := scene.StartLoad(t, s.Primary)
	load.WaitCommits(t, 100)
	load.StopLoad(t)
	s.Proxy.SQL(t, "SELECT 1")
	s.Verify(t, standby)
	t.Logf("with %d silent clients: %v", silent, time.Since(began))
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
