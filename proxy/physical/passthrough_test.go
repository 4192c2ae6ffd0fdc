package physical_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/physical"
)

// A cancel request with the key that the client was given reaches whatever runs.
func TestCancel(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	t.Run("while WAL is streamed", func(t *testing.T) {
		s := connect(t, w.conninfo())
		s.query("START_REPLICATION " + primary.CurrentLSN(t).String())
		s.cancel(w.addr.String())
		if got := withoutCopyData(s.transcript()); !isCancelled(got) {
			t.Fatal(got)
		}
		if got := s.query("IDENTIFY_SYSTEM"); !strings.HasSuffix(got, "Z I") {
			t.Fatal(got)
		}
	})
	t.Run("while a slot is waited for", func(t *testing.T) {
		holder, s := connect(t, w.conninfo()), connect(t, w.conninfo())
		holder.query("CREATE_REPLICATION_SLOT held TEMPORARY PHYSICAL")
		s.send(&pgproto3.Query{String: "DROP_REPLICATION_SLOT held WAIT"})
		s.cancelUntil(t, w.addr.String())
	})
	t.Run("while the primary makes a base backup", func(t *testing.T) {
		s := connect(t, w.conninfo())
		s.send(&pgproto3.Query{String: "BASE_BACKUP (MAX_RATE 32, CHECKPOINT 'fast')"})
		m, err := s.receive() // it has begun
		must(t, err)
		if _, ok := m.(*pgproto3.RowDescription); !ok {
			t.Fatal(describe(m))
		}
		s.cancelUntil(t, w.addr.String())
		if got := s.query("SHOW wal_segment_size"); !strings.HasSuffix(got, "Z I") {
			t.Fatal(got)
		}
	})
	t.Run("while nothing runs", func(t *testing.T) {
		s := connect(t, w.conninfo())
		s.cancel(w.addr.String())
		if got := s.query("IDENTIFY_SYSTEM"); strings.Contains(got, "57014") {
			t.Fatal(got)
		}
	})
}

// What can be no message ends a session only when all that was asked before it has been answered.
func TestGarbageBehindACommand(t *testing.T) {
	primary := pgtest.Need(t, 17).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	garbage := func(s *script, command string) {
		t.Helper()
		all := wire.AppendFrame(nil, 'Q', append([]byte(command), 0))
		if _, err := s.conn.Write(append(all, 'S', 0, 0, 0, 3)); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(s *script) {
		t.Helper()
		got := s.transcript()
		if !strings.HasSuffix(got, "Z I") {
			t.Error(got)
		}
		if got := s.transcript(); got != "closed" {
			t.Errorf("then %s", got)
		}
	}
	t.Run("the primary answers", func(t *testing.T) {
		s := connect(t, w.conninfo())
		garbage(s, "BASE_BACKUP (TARGET 'blackhole', CHECKPOINT 'fast', WAIT false)")
		answered(s)
	})
	t.Run("nothing but the client's end", func(t *testing.T) {
		for range 10 {
			s := connect(t, w.conninfo())
			s.send(&pgproto3.Query{String: "SHOW work_mem"})
			must(t, s.conn.(*net.TCPConn).CloseWrite())
			answered(s)
		}
	})
	t.Run("a slot is waited for", func(t *testing.T) {
		holder, s := connect(t, w.conninfo()), connect(t, w.conninfo())
		holder.query("CREATE_REPLICATION_SLOT held TEMPORARY PHYSICAL")
		garbage(s, "DROP_REPLICATION_SLOT held WAIT")
		if got := holder.query("IDENTIFY_SYSTEM"); !strings.HasSuffix(got, "Z I") {
			t.Fatal(got)
		}
		holder.send(&pgproto3.Terminate{})
		answered(s)
	})
	t.Run("the primary waits for it", func(t *testing.T) {
		for range 30 {
			s := connect(t, w.conninfo())
			garbage(s, "UPLOAD_MANIFEST")
			if got := s.transcript(); got != "*pgproto3.CopyInResponse" {
				t.Error(got)
			}
			if got := s.transcript(); got != "closed" {
				t.Errorf("then %s", got)
			}
		}
	})
}

// cancel sends a CancelRequest and waits until the proxy has closed, as a client does.
func (s *script) cancel(addr string) {
	s.t.Helper()
	conn := dial(s.t, addr)
	m := &pgproto3.CancelRequest{ProcessID: s.pid, SecretKey: s.key}
	b, err := m.Encode(nil)
	must(s.t, err)
	_, err = conn.Write(b)
	must(s.t, err)
	_, _ = conn.Read(make([]byte, 1))
}

// cancelUntil repeats the request until it is heard: one that comes before the command has begun is
// ignored, as in PostgreSQL.
func (s *script) cancelUntil(t *testing.T, addr string) {
	t.Helper()
	done := make(chan string, 1)
	go func() { done <- s.transcript() }()
	pgtest.WaitFor(t, readTimeout, "the command to be cancelled", func() (bool, error) {
		s.cancel(addr)
		select {
		case got := <-done:
			if !isCancelled(withoutCopyData(got)) {
				t.Error(got)
			}
			return true, nil
		default:
			return false, nil
		}
	})
}

func isCancelled(transcript string) bool {
	return strings.HasSuffix(transcript,
		`E ERROR ERROR 57014 "canceling statement due to user request" detail "" hint "" position 0`+"\nZ I")
}

// What is not virtualised runs on the client's own connection to the primary; streaming and idleness
// end that connection, not the session.
func TestLinkIsShortLived(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{idleKeep: 4 * time.Second})
	alone := func() {
		t.Helper()
		pgtest.WaitFor(t, readTimeout, "the link to close", func() (bool, error) {
			return len(pgtest.PgStatReplication(t, primary)) == 1 && w.gate.Status().Running == 0, nil
		})
	}
	s := connect(t, w.conninfo())
	want := s.query("SHOW wal_segment_size")
	if got := s.query("SHOW wal_keep_size"); !strings.Contains(got, `D "0"`) {
		t.Fatal(got)
	}
	alone()
	if got := s.query("SHOW wal_segment_size"); got != want {
		t.Errorf("without a link: %s\nwith one: %s", got, want)
	}
	if got := s.query("SHOW Server_Version"); !strings.Contains(got, "T server_version(") {
		t.Error(got)
	}
	for _, c := range []string{"SHOW no_such_setting", "SHOW all", "BASE_BACKUP", "CREATE_REPLICATION_SLOT l LOGICAL p"} {
		if got := s.query(c); !strings.Contains(got, "55000") || !strings.Contains(got, "Reconnect") {
			t.Errorf("%s: %s", c, got)
		}
	}
	if got := s.query("IDENTIFY_SYSTEM"); !strings.HasSuffix(got, "Z I") {
		t.Error(got)
	}

	s = connect(t, w.conninfo(), "wal_sender_timeout=7s")
	s.query("START_REPLICATION " + primary.CurrentLSN(t).String())
	alone()
	pgtest.WaitFor(t, readTimeout, "the standby", func() (bool, error) { return len(w.hub.Standbys()) == 1, nil })
	s.send(&pgproto3.CopyDone{})
	s.transcript()
	// The primary's value is not this session's.
	if got := s.query("SHOW wal_sender_timeout"); !strings.Contains(got, "55000") {
		t.Error(got)
	}
}

// The primary's death ends the link, not the session; what it was doing is told.
func TestPrimaryDiesUnderTheLink(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	idle, busy := connect(t, w.conninfo()), connect(t, w.conninfo())
	busy.send(&pgproto3.Query{String: "BASE_BACKUP (MAX_RATE 32, CHECKPOINT 'fast')"})
	m, err := busy.receive()
	must(t, err)
	if _, ok := m.(*pgproto3.RowDescription); !ok {
		t.Fatal(describe(m))
	}
	primary.Kill9(t)
	got := withoutCopyData(busy.transcript())
	if !strings.HasSuffix(got, "closed") {
		t.Errorf("the base backup ended with: %s", got)
	}
	if got := idle.query("SHOW wal_segment_size"); !strings.Contains(got, `D "16MB"`) {
		t.Errorf("SHOW without a primary: %s", got)
	}
	if got := idle.query("BASE_BACKUP"); !strings.Contains(got, "55000") {
		t.Errorf("BASE_BACKUP without a primary: %s", got)
	}
	if got := idle.query("IDENTIFY_SYSTEM"); !strings.HasSuffix(got, "Z I") {
		t.Error(got)
	}
}

// A link that the primary ended while it was idle costs the session nothing. The FATAL was not meant for the client's
// next command, and nothing of the broken attempt lingers.
func TestPrimaryEndsAnIdleLink(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{idleKeep: time.Minute})
	s := connect(t, w.conninfo(), "application_name=idle")
	s.query("CREATE_REPLICATION_SLOT mine TEMPORARY PHYSICAL")
	gone := "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'idle'"
	if rows := primary.SQL(t, gone); len(rows) != 1 {
		t.Fatalf("%d links", len(rows))
	}
	pgtest.WaitStreaming(t, primary, 1)
	if got := s.query("SHOW wal_segment_size"); !strings.Contains(got, `D "16MB"`) {
		t.Fatalf("SHOW over a dead link: %s", got)
	}
	pgtest.WaitFor(t, readTimeout, "the dead link to give up its place", func() (bool, error) {
		return w.gate.Status().Running == 0, nil
	})
	began := time.Now()
	pgtest.WaitFor(t, readTimeout, "deadlines to pass", func() (bool, error) {
		if got := s.query("READ_REPLICATION_SLOT mine"); !strings.Contains(got, `"physical"`) {
			return false, errors.New(got)
		}
		return time.Since(began) > 2500*time.Millisecond, nil
	})
}

// A client that leaves in the middle of a base backup ends it on the primary too.
func TestClientLeavesABaseBackup(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	s := connect(t, w.conninfo())
	s.send(&pgproto3.Query{String: "BASE_BACKUP (MAX_RATE 32, CHECKPOINT 'fast')"})
	m, err := s.receive()
	must(t, err)
	if _, ok := m.(*pgproto3.RowDescription); !ok {
		t.Fatal(describe(m))
	}
	pgtest.WaitFor(t, readTimeout, "two walsenders, of which the base backup's has given up its place", func() (bool, error) {
		return len(pgtest.PgStatReplication(t, primary)) == 2 && w.gate.Status().Running == 0, nil
	})
	s.conn.Close()
	pgtest.WaitStreaming(t, primary, 1)
}

// Shutdown: idle sessions end with a word, what streams gets the end of COPY, a base backup is broken
// off with a word.
func TestShutdown(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	idle, streams, backup := connect(t, w.conninfo()), connect(t, w.conninfo()), connect(t, w.conninfo())
	at := primary.CurrentLSN(t)
	streams.query("START_REPLICATION " + at.String())
	backup.send(&pgproto3.Query{String: "BASE_BACKUP (MAX_RATE 32, CHECKPOINT 'fast')"})
	m, err := backup.receive()
	must(t, err)
	if _, ok := m.(*pgproto3.RowDescription); !ok {
		t.Fatal(describe(m))
	}
	conn := startup(t, w.addr.String())
	asked := &script{t: t, conn: conn, f: pgproto3.NewFrontend(conn, conn)}
	if _, err = asked.receive(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); w.stopServer() }()

	const word = `E FATAL FATAL 57P01 "terminating connection due to administrator command"`
	if got := idle.transcript(); !strings.HasPrefix(got, word) || !strings.HasSuffix(got, "\nclosed") {
		t.Errorf("idle: %s", got)
	}
	if got := asked.transcript(); !strings.Contains(got, word) || !strings.HasSuffix(got, "\nclosed") {
		t.Errorf("log-in: %s", got)
	}
	if got := withoutCopyData(backup.transcript()); !strings.Contains(got, word) || !strings.HasSuffix(got, "\nclosed") {
		t.Errorf("base backup: %s", got)
	}
	end := w.store.Positions().Received
	streams.confirm(end)
	if got := withoutCopyData(streams.transcript()); got != "C \"COPY 0\"\nclosed" {
		t.Errorf("streaming: %s", got)
	}
	<-done
}

// Protocol 3.2 has cancel keys of 32 bytes (trap K47).
func TestLongCancelKey(t *testing.T) {
	primary := pgtest.Need(t, 18).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	s := connect(t, w.conninfo(), "max_protocol_version=3.2")
	if len(s.key) != 32 {
		t.Fatalf("key of %d bytes", len(s.key))
	}
	s.query("START_REPLICATION " + primary.CurrentLSN(t).String())
	s.cancel(w.addr.String())
	if got := withoutCopyData(s.transcript()); !isCancelled(got) {
		t.Fatal(got)
	}
}

// The session's own wal_sender_timeout ends it when it does not answer, without a word (facts E5).
func TestOwnWalSenderTimeout(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	s := connect(t, w.conninfo(), "options='-c wal_sender_timeout=500ms'")
	s.query("START_REPLICATION " + primary.CurrentLSN(t).String())
	began := time.Now()
	if got := withoutCopyData(s.transcript()); got != "closed" {
		t.Errorf("%s", got)
	}
	if d := time.Since(began); d < 200*time.Millisecond || d > physical.DefaultWalSenderTimeout/2 {
		t.Errorf("closed after %v", d)
	}
}
