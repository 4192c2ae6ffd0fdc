package pgtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// queryTimeout bounds one helper query: long enough for a checksum over 100 MB beside a busy test.
const queryTimeout = 2 * time.Minute

// Null shows a NULL in a result, as COPY does.
const Null = `\N`

// Query connects to conninfo, runs one or more statements in the simple protocol, and returns the rows
// of the last statement that returned any, as text. It blocks until ctx ends and is safe anywhere.
func Query(ctx context.Context, conninfo, sql string) ([][]string, error) {
	conn, err := pgconn.Connect(ctx, conninfo)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return QueryConn(ctx, conn, sql)
}

// QueryConn runs statements as Query does, on a connection that is open, replication connections included.
func QueryConn(ctx context.Context, conn *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, result := range results {
		if len(result.FieldDescriptions) == 0 {
			continue
		}
		rows = make([][]string, 0, len(result.Rows))
		for _, values := range result.Rows {
			rows = append(rows, texts(values))
		}
	}
	return rows, nil
}

func texts(values [][]byte) []string {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = string(v)
		if v == nil {
			row[i] = Null
		}
	}
	return row
}

// Dial opens a connection that the caller closes; for goroutines other than the test's.
func Dial(ctx context.Context, conninfo string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, conninfo)
}

// SQL runs statements as user postgres in database postgres (extra, as "dbname=x", changes that) and
// returns the rows of the last one that has rows.
func (s *Server) SQL(t testing.TB, sql string, extra ...string) [][]string {
	t.Helper()
	return mustQuery(t, s.Name, s.near(extra...), sql)
}

func mustQuery(t testing.TB, name, conninfo, sql string) [][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), queryTimeout)
	defer cancel()
	rows, err := Query(ctx, conninfo, sql)
	if err != nil {
		t.Fatalf("%s: %.200s: %v", name, sql, err)
	}
	return rows
}

// Exec runs statements whose rows do not matter.
func (s *Server) Exec(t testing.TB, sql string, extra ...string) {
	t.Helper()
	s.SQL(t, sql, extra...)
}

// QueryRow runs a statement that returns exactly one row.
func (s *Server) QueryRow(t testing.TB, sql string, extra ...string) []string {
	t.Helper()
	rows := s.SQL(t, sql, extra...)
	if len(rows) != 1 {
		t.Fatalf("%s: %s: %d rows, want one", s.Name, sql, len(rows))
	}
	return rows[0]
}

// Scalar runs a statement that returns exactly one value.
func (s *Server) Scalar(t testing.TB, sql string, extra ...string) string {
	t.Helper()
	row := s.QueryRow(t, sql, extra...)
	if len(row) != 1 {
		t.Fatalf("%s: %s: %d columns, want one", s.Name, sql, len(row))
	}
	return row[0]
}

// Connect opens a connection that closes with the test.
func (s *Server) Connect(t testing.TB, extra ...string) *pgconn.PgConn {
	t.Helper()
	return Connect(t, s.near(extra...))
}

// Connect opens a connection to conninfo that closes with the test.
func Connect(t testing.TB, conninfo string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), queryTimeout)
	defer cancel()
	conn, err := pgconn.Connect(ctx, conninfo)
	if err != nil {
		t.Fatalf("connect to %s: %v", conninfo, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // a peer may be dead
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// CurrentLSN returns the end of the WAL that a primary has written and flushed.
func (s *Server) CurrentLSN(t testing.TB) lsn.LSN {
	t.Helper()
	return s.lsn(t, "SELECT pg_current_wal_flush_lsn()")
}

// ReplayLSN returns the position up to which a standby has replayed; 0 before it has replayed anything.
func (s *Server) ReplayLSN(t testing.TB) lsn.LSN {
	t.Helper()
	return s.lsn(t, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')")
}

// ReceivedLSN returns the position up to which a standby has flushed what it received.
func (s *Server) ReceivedLSN(t testing.TB) lsn.LSN {
	t.Helper()
	return s.lsn(t, "SELECT coalesce(pg_last_wal_receive_lsn(), '0/0')")
}

func (s *Server) lsn(t testing.TB, sql string) lsn.LSN {
	t.Helper()
	l, err := lsn.Parse(s.Scalar(t, sql))
	if err != nil {
		t.Fatalf("%s: %s: %v", s.Name, sql, err)
	}
	return l
}

// Walsender is a row of pg_stat_replication.
type Walsender struct {
	PID                        string
	User, ApplicationName      string
	State                      string
	Sent, Write, Flush, Replay string // X/X or Null
	SyncState                  string
}

// String shows the row in one line.
func (w Walsender) String() string {
	return fmt.Sprintf("%s %s/%s %s sent=%s write=%s flush=%s replay=%s %s",
		w.PID, w.User, w.ApplicationName, w.State, w.Sent, w.Write, w.Flush, w.Replay, w.SyncState)
}

// PgStatReplication returns the walsenders of a server, ordered by application_name and pid.
func PgStatReplication(t testing.TB, s *Server) []Walsender {
	t.Helper()
	rows := s.SQL(t, strings.Join([]string{
		"SELECT pid, usename, application_name, coalesce(state, ''), sent_lsn, write_lsn, flush_lsn,",
		"replay_lsn, sync_state FROM pg_stat_replication ORDER BY application_name, pid",
	}, " "))
	var out []Walsender
	for _, r := range rows {
		out = append(out, Walsender{
			PID: r[0], User: r[1], ApplicationName: r[2], State: r[3],
			Sent: r[4], Write: r[5], Flush: r[6], Replay: r[7], SyncState: r[8],
		})
	}
	return out
}
