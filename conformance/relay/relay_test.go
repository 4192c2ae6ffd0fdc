package relay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// psql COPY of 100 MB in and out through the proxy, with a standby behind it.
func TestCopy100MB(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in)
	standby := s.Standby(t, "standby", "")
	dir := in.TempDir(t)
	source, want := copyFile(t, 100<<20)
	s.Primary.Exec(t, "CREATE TABLE c (id int, pad text)")

	file, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	into := in.Tool(t, dir, "psql", "-Xqc", "COPY c FROM STDIN", s.Proxy.Conninfo())
	into.Stdin = file
	if out, err := into.CombinedOutput(); err != nil {
		t.Fatalf("COPY FROM: %v\n%s", err, out)
	}
	hash := sha256.New()
	from := in.Tool(t, dir, "psql", "-Xqc", "COPY c TO STDOUT", s.Proxy.Conninfo())
	from.Stdout = hash
	if err := from.Run(); err != nil {
		t.Fatalf("COPY TO: %v", err)
	}
	if got := hash.Sum(nil); string(got) != string(want) {
		t.Errorf("what came back differs from what went in: %x, want %x", got, want)
	}
	s.Verify(t, standby)
}

// copyFile writes a file of COPY lines of about size bytes and returns its SHA-256.
func copyFile(t *testing.T, size int) (path string, sum []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rows")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(file, hash), 1<<20)
	const pad = 1000
	for i := 0; i*pad < size; i++ {
		fmt.Fprintf(w, "%d\t%0*d\n", i, pad, i*i)
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path, hash.Sum(nil)
}

// A cancel request reaches the server that issued the key, and only the statement it is for.
func TestQueryCancel(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		s := scene.NewSite(t, in)
		victim := pgtest.Connect(t, s.Proxy.Conninfo())
		bystander := pgtest.Connect(t, s.Proxy.Conninfo())
		results := make(chan error, 2)
		run := func(conn *pgconn.PgConn, sql string) {
			_, err := pgtest.QueryConn(t.Context(), conn, sql)
			results <- err
		}
		go run(victim, "SELECT pg_sleep(60)")
		waitActive(t, s.Primary, "SELECT pg_sleep(60)")
		if err := victim.CancelRequest(t.Context()); err != nil {
			t.Fatalf("cancel: %v", err)
		}
		var pgErr *pgconn.PgError
		if err := <-results; !errors.As(err, &pgErr) || pgErr.Code != "57014" {
			t.Errorf("cancelled statement: %v, want 57014", err)
		}
		go run(bystander, "SELECT pg_sleep(0.5)")
		if err := <-results; err != nil {
			t.Errorf("bystander: %v", err)
		}
		if _, err := pgtest.QueryConn(t.Context(), victim, "SELECT 1"); err != nil {
			t.Errorf("session after its cancel: %v", err)
		}
	})
}

func waitActive(t *testing.T, server *pgtest.Server, sql string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, sql+" to run", func() (bool, error) {
		rows := server.SQL(t, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = '"+sql+"'")
		return len(rows) == 1, nil
	})
}

// Control-C in psql, which asks for cancellation in its own way.
func TestPsqlCancel(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in)
	psql := scene.StartTool(t, in, in.TempDir(t), "psql", "-Xqc", "SELECT pg_sleep(60)", s.Proxy.Conninfo())
	waitActive(t, s.Primary, "SELECT pg_sleep(60)")
	_ = psql.Cmd.Process.Signal(os.Interrupt)
	err := <-psql.Done
	psql.Done <- err
	if err == nil || !strings.Contains(psql.Out.String(), "canceling statement due to user request") {
		t.Errorf("psql: %v\n%s", err, &psql.Out)
	}
}

func TestListenNotify(t *testing.T) {
	s := scene.NewSite(t, pgtest.Usual(t))
	var got []string
	conn := connectNotified(t, s.Proxy.Conninfo(), &got)
	if _, err := pgtest.QueryConn(t.Context(), conn, "LISTEN news"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.Proxy.SQL(t, fmt.Sprintf("NOTIFY news, 'number %d'", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(got) < 3 {
		if err := conn.WaitForNotification(ctx); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
	}
	if want := "[number 0 number 1 number 2]"; fmt.Sprint(got) != want {
		t.Errorf("notified of %v, want %s", got, want)
	}
}

func connectNotified(t *testing.T, conninfo string, got *[]string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { *got = append(*got, n.Payload) }
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// pgbench through the proxy, in all three protocols, while standbys replicate behind it.
func TestPgbench(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		s := scene.NewSite(t, in)
		standby := s.Standby(t, "standby", "")
		dir := in.TempDir(t)
		in.RunTool(t, dir, "pgbench", "-i", "-q", "-s", "2", s.Proxy.Conninfo())
		for _, protocol := range []string{"simple", "extended", "prepared"} {
			out := in.RunTool(t, dir, "pgbench", "-c", "8", "-j", "2", "-t", "100", "-M", protocol, s.Proxy.Conninfo())
			if !strings.Contains(out, "number of transactions actually processed: 800/800") {
				t.Errorf("pgbench -M %s:\n%s", protocol, out)
			}
		}
		in.RunTool(t, dir, "pgbench", "-n", "-S", "-C", "-c", "4", "-t", "25", s.Proxy.Conninfo()) // a connection each
		s.Verify(t, standby)
	})
}
