package trace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/trace"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// segment is small, so that WAL is removed and slots are lost with little of it.
const segment = lsn.SegSize(1 << 20)

// world is a primary that was promoted once, and a proxy in front of it.
type world struct {
	primary *pgtest.Server
	proxy   *pgtest.Proxy
	sql     *pgconn.PgConn
	system  string
	version string
	fork    lsn.LSN
	refused int // how often the primary had no walsender left, as far as exchanges have seen
}

func newWorld(t *testing.T, in *pgtest.Install) *world {
	t.Helper()
	settings := []string{
		"wal_level = logical", "wal_keep_size = 0", "min_wal_size = 2MB", "max_slot_wal_keep_size = 8MB",
		"max_replication_slots = 6", "max_wal_senders = 40",
	}
	w := &world{primary: in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings(settings...), pgtest.HBA(
		"host all,replication clear all password",
		"host all,replication digest all md5",
		"host all,replication verified,ghost all scram-sha-256",
		"host all,replication rejected all reject",
		"host all,replication postgres,plain,nologin,nobody all trust",
	))}
	w.primary.Exec(t, "CREATE ROLE plain LOGIN; CREATE ROLE nologin REPLICATION; "+
		"CREATE ROLE clear LOGIN REPLICATION PASSWORD 'secret'; CREATE ROLE rejected LOGIN REPLICATION; "+
		"SET password_encryption = md5; CREATE ROLE digest LOGIN REPLICATION PASSWORD 'secret'; "+
		"SET password_encryption = 'scram-sha-256'; CREATE ROLE verified LOGIN REPLICATION PASSWORD 'secret'")
	w.primary.Exec(t, "SELECT pg_switch_wal()")
	w.primary.Exec(t, "SELECT pg_create_physical_replication_slot('keeper')")
	w.primary.Stop(t, pgtest.Fast)
	// A standby without an upstream can be promoted at once.
	signal := filepath.Join(w.primary.Dir, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.primary.Start(t)
	w.primary.Promote(t)
	// So that the segments up to the fork are removed, the fork's own excepted.
	w.primary.Exec(t, "SELECT pg_drop_replication_slot('keeper'); "+
		"SELECT pg_create_physical_replication_slot('keeper', true); CHECKPOINT")
	w.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		// With places for all, no session's link to the primary is closed early for another's log-in.
		Upstream: w.primary.Conninfo(), Config: "wal: {keep_size: 16MB, max_slot_wal_keep_size: 8MB}\n" +
			"auth: {max_upstream_walsenders: 30}\n" +
			"upstream: {connect_wait: 0s}\n", // what a server says that starts is passed on at once
	})
	// Then the newest segment has nothing of timeline 1, of which a slot may begin.
	w.primary.Exec(t, "SELECT pg_switch_wal()")
	w.primary.Exec(t, "SELECT pg_logical_emit_message(true, 'trace', repeat('x', 300000))")
	w.sql = w.primary.Connect(t)
	w.system = w.primary.Scalar(t, "SELECT system_identifier FROM pg_control_system()")
	w.version = w.primary.Scalar(t, "SHOW server_version")
	w.fork = w.readFork(t)
	return w
}

// prepare makes the server what a subject is about.
func (w *world) prepare(t *testing.T, subject string) {
	t.Helper()
	switch subject {
	case "limits":
		w.limit(t)
	case "starting":
		w.startSlowly(t)
	case "recovering":
		w.recover(t)
	}
}

// limit leaves the primary without logical decoding, and with few walsenders.
func (w *world) limit(t *testing.T) {
	t.Helper()
	w.primary.Set(t, "wal_level = replica", "max_wal_senders = 5")
	w.primary.Restart(t)
	w.sql = w.primary.Connect(t)
	w.waitStreaming(t)
}

// recover makes the primary, which waits for its archive, a standby that has all there is.
func (w *world) recover(t *testing.T) {
	t.Helper()
	w.primary.Stop(t, pgtest.Immediate)
	w.primary.Set(t, "wal_level = logical", "restore_command = ''")
	w.primary.Start(t)
	w.sql = w.primary.Connect(t)
	w.waitStreaming(t)
}

func (w *world) waitStreaming(t *testing.T) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to stream", func() (bool, error) {
		code, body, err := w.proxy.Get(t.Context(), "/status")
		var st admin.Status
		if err != nil || code != http.StatusOK {
			return false, nil
		}
		return json.Unmarshal(body, &st) == nil && st.Upstream.State == admin.Streaming, nil
	})
}

// startSlowly starts the primary, which waits for the first file of its archive for ever, and the proxy.
func (w *world) startSlowly(t *testing.T) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to have stopped", func() (bool, error) {
		return !w.primary.Running(), nil
	})
	if err := os.WriteFile(filepath.Join(w.primary.Dir, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.primary.Set(t, "restore_command = 'sleep 1000'")
	w.primary.StartNoWait(t)
	w.proxy.StartNoWait(t)
	for _, port := range []int{w.primary.Port, w.proxy.Port} {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("port %d", port), func() (bool, error) {
			conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return false, nil
			}
			return true, conn.Close()
		})
	}
}

// readFork returns the end of timeline 1: the second word of the history file.
func (w *world) readFork(t *testing.T) lsn.LSN {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(w.primary.WALDir(), "00000002.history"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(content))
	if len(words) < 2 {
		t.Fatalf("history %q", content)
	}
	at, err := lsn.Parse(words[1])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (w *world) direct() *trace.Target {
	stop := func() error { return syscall.Kill(w.primary.PID(), syscall.SIGINT) }
	return w.target(w.primary.Port, stop, func(ctx context.Context) (bool, error) {
		rows, err := w.query(ctx, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 's'")
		return err == nil && rows == "lost", err
	})
}

func (w *world) through(t *testing.T) *trace.Target {
	stop := func() error { w.proxy.Signal(syscall.SIGTERM); return nil }
	through := w.target(w.proxy.Port, stop, func(context.Context) (bool, error) {
		var st admin.Status
		w.proxy.Status(t, &st)
		return len(st.Slots) == 1 && st.Slots[0].Status == "lost", nil
	})
	through.Variable = func(ctx context.Context, name string) (string, error) {
		if err := w.waitReceived(ctx); err != nil {
			return "", err
		}
		return w.variable(ctx, name)
	}
	return through
}

// target plays against a port. stop tells the server to stop, lost tells whether slot s is lost there.
func (w *world) target(port int, stop func() error, lost func(context.Context) (bool, error)) *trace.Target {
	return &trace.Target{
		Address:  net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		System:   w.system,
		Version:  w.version,
		Variable: w.variable,
		Do: func(ctx context.Context, verb, words string) error {
			switch {
			case verb == "sql":
				_, err := w.query(ctx, words)
				return err
			case words == "lose s":
				return w.lose(ctx, lost)
			case words == "stop":
				return stop()
			case words == "wait for a refusal":
				return w.waitRefusal()
			case words == "wait for walsenders to end":
				return w.waitWalsenders(ctx)
			}
			return fmt.Errorf("unknown action %q", words)
		},
	}
}

// lose writes WAL until the slot is lost.
func (w *world) lose(ctx context.Context, lost func(context.Context) (bool, error)) error {
	const most = 60 // MB; the limit is 8
	for range most {
		_, err := w.query(ctx, "SELECT pg_logical_emit_message(false, 'trace', repeat('x', 1 << 20)); CHECKPOINT")
		if err == nil {
			err = w.waitReceived(ctx) // or the proxy's own slot is lost as well
		}
		if err != nil {
			return err
		}
		if ok, err := lost(ctx); ok || err != nil {
			return err
		}
	}
	for range 300 { // the proxy looks at its slots once a second only
		if ok, err := lost(ctx); ok || err != nil {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
	return fmt.Errorf("the slot is not lost after %d MB", most)
}

// waitReceived waits until the proxy has what the primary has: a start far ahead of it is refused.
func (w *world) waitReceived(ctx context.Context) error {
	text, err := w.variable(ctx, "flush")
	if err != nil {
		return err
	}
	flush, err := lsn.Parse(text)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(pgtest.ReplayTimeout); time.Now().Before(deadline); {
		_, body, err := w.proxy.Get(ctx, "/status")
		var st admin.Status
		if err == nil {
			err = json.Unmarshal(body, &st)
		}
		if err != nil {
			return err
		}
		if st.Store.Received >= flush {
			return nil
		}
	}
	return fmt.Errorf("the proxy has not received %v", flush)
}

// waitRefusal waits until the primary has refused one more walsender.
func (w *world) waitRefusal() error {
	for deadline := time.Now().Add(pgtest.ReplayTimeout); time.Now().Before(deadline); {
		n := strings.Count(w.primary.Log(), "number of requested standby connections exceeds")
		if n > w.refused {
			w.refused = n
			return nil
		}
		<-time.After(20 * time.Millisecond)
	}
	return errors.New("no walsender was refused")
}

// waitWalsenders waits until the proxy's own walsender is the only one.
func (w *world) waitWalsenders(ctx context.Context) error {
	for deadline := time.Now().Add(pgtest.ReplayTimeout); time.Now().Before(deadline); {
		n, err := w.query(ctx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'")
		if err != nil || n == "1" {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
	return errors.New("walsenders are left over")
}

// variable is the present value of a name in a script.
func (w *world) variable(ctx context.Context, name string) (string, error) {
	switch name {
	case "fork":
		return w.fork.String(), nil
	case "before_fork":
		return segment.Floor(w.fork).String(), nil
	}
	text, err := w.query(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "+
		"ELSE pg_current_wal_flush_lsn() END")
	if err != nil {
		return "", err
	}
	flush, err := lsn.Parse(text)
	if err != nil {
		return "", err
	}
	switch name {
	case "flush":
		return flush.String(), nil
	case "segment":
		return segment.Floor(flush).String(), nil
	case "unaligned":
		return (segment.Floor(flush) + 123).String(), nil
	}
	return "", fmt.Errorf("unknown variable %q", name)
}

// query returns the first value.
func (w *world) query(ctx context.Context, sql string) (string, error) {
	rows, err := pgtest.QueryConn(ctx, w.sql, sql)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}
