package physical_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// A proxy that has just started has no WAL for a few tenths of a second: a walsender waits for that as for a primary,
// up to connect_wait. Then, or where it is not to wait, the database system is starting up. A client that leaves is let go.
func TestFirstWALIsWaitedFor(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	const starting = "the database system is starting up"
	hasty := newWorld(t, primary, worldOptions{noReceiver: true, connectWait: 200 * time.Millisecond})
	for _, c := range [][2]string{
		{"replication=true", "IDENTIFY_SYSTEM"}, {"replication=true", "START_REPLICATION 0/1000000"},
		{"replication=database", "START_REPLICATION 0/1000000"},
		{"replication=database", "CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)"},
	} {
		began := time.Now()
		_, err := pgtest.Query(t.Context(), hasty.conninfo(c[0]), c[1])
		if err == nil || !strings.Contains(err.Error(), starting) || time.Since(began) < 200*time.Millisecond {
			t.Errorf("%s, %s, after %v: %v", c[0], c[1], time.Since(began), err)
		}
	}

	w := newWorld(t, primary, worldOptions{noReceiver: true, connectWait: time.Hour})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := pgtest.Query(ctx, w.conninfo("replication=true", "application_name=leaves"), "IDENTIFY_SYSTEM")
		left <- err
	}()
	commands := [][2]string{
		{"replication=true", "IDENTIFY_SYSTEM"}, {"replication=true", "CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)"},
		{"replication=database", "CREATE_REPLICATION_SLOT d PHYSICAL (RESERVE_WAL)"},
	}
	got := make(chan error, len(commands))
	for _, command := range commands {
		go func() {
			rows, err := pgtest.Query(t.Context(), w.conninfo(command[0]), command[1])
			if err == nil && len(rows) != 1 {
				err = context.Canceled
			}
			got <- err
		}()
	}
	sessions := func(n int) {
		t.Helper()
		pgtest.WaitFor(t, readTimeout, "sessions", func() (bool, error) { return len(w.server.Sessions()) == n, nil })
	}
	sessions(4)
	leave()
	if <-left == nil {
		t.Error("a command was answered before there was WAL")
	}
	sessions(3)
	select {
	case err := <-got:
		t.Fatalf("a command did not wait: %v", err)
	default:
	}
	w.startReceiver()
	for range commands {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	// Without WAL, and no time to wait, nothing else is asked of it.
	if _, err := pgtest.Query(t.Context(), hasty.conninfo("replication=true"), "SHOW wal_segment_size"); err != nil {
		t.Error(err)
	}
}

// A server that stops does not wait for clients that wait, nor anybody for one that took its leave and has gone.
func TestFirstWALIsNotAwaitedBeyondAStop(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	w := newWorld(t, primary, worldOptions{noReceiver: true, connectWait: 2 * readTimeout})
	waiting := func(more ...pgproto3.FrontendMessage) *script {
		s := connect(t, w.conninfo())
		s.send(append([]pgproto3.FrontendMessage{&pgproto3.Query{String: "IDENTIFY_SYSTEM"}}, more...)...)
		return s
	}
	gone := waiting(&pgproto3.Terminate{})
	must(t, gone.conn.Close())
	pgtest.WaitFor(t, readTimeout, "the session's end", func() (bool, error) { return len(w.server.Sessions()) == 0, nil })
	plain, leaving := waiting(), waiting(&pgproto3.Terminate{})
	within := connect(t, w.conninfo(), "replication=database")
	within.send(&pgproto3.Query{String: "CREATE_REPLICATION_SLOT d PHYSICAL (RESERVE_WAL)"})
	w.stopServer()
	if got := within.transcript(); got != "closed" {
		t.Errorf("on a database: %s", got)
	}
	for _, s := range []*script{plain, leaving} {
		// A command that came when the server had begun to stop is refused.
		if got := s.transcript(); !strings.Contains(got, "57P01") && !strings.Contains(got, "55000") {
			t.Error(got)
		}
	}
}
