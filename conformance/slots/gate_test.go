package slots

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestGate: a logical walsender on the primary waits for a standby behind the proxy, because
// synchronized_standby_slots names the mirror of the standby's slot, and goes on when it has the WAL.
func TestGate(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: "slots: {mirror: gate}\nfeedback: {settle: 1s}\n"},
			pgtest.Settings("wal_level = logical", "synchronized_standby_slots = 's1'"))
		s.CreateSlot(t, "s1")
		standby := s.Standby(t, "s1", "s1")
		s.Primary.Exec(t, "CREATE TABLE t (word text)")
		s.Primary.Exec(t, "SELECT pg_create_logical_replication_slot('app', 'test_decoding', false, false, true)")
		words := subscribe(t, s.Primary)
		s.Primary.Exec(t, "INSERT INTO t VALUES ('before')")
		words.expect(t, "before")

		standby.Stop(t, pgtest.Fast)
		s.Primary.Exec(t, "INSERT INTO t VALUES ('while it slept')")
		end := s.Primary.CurrentLSN(t)
		waits := "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'"
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the logical walsender to wait for the standby", func() (bool, error) {
			return s.Primary.Scalar(t, waits) == "1" && scene.Status(t, s.Proxy).Store.Flushed >= end, nil
		})
		var held admin.Idle
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirror to be shown", func() (bool, error) {
			held = idleOnPrimary(t, s.Proxy, "s1")
			return held.Real == "mirrored" && held.Restart != 0, nil
		})
		if held.Restart >= end {
			t.Errorf("the gate is not shut: %+v, end %s", held, end)
		}
		if words.more() {
			t.Error("a subscriber has what the standby lacks")
		}
		standby.Start(t)
		words.expect(t, "while it slept")
		pgtest.WaitCaughtUp(t, s.Primary, standby)
	}, 17, 18)
}

// idleOnPrimary is a slot of the primary as /status shows it.
func idleOnPrimary(t *testing.T, proxy *pgtest.Proxy, name string) admin.Idle {
	t.Helper()
	for _, i := range scene.Status(t, proxy).Idle {
		if i.Name == name {
			return i
		}
	}
	return admin.Idle{}
}

// subscription reads what test_decoding says, from a walsender of the primary.
type subscription struct {
	lines chan string
}

func subscribe(t *testing.T, primary *pgtest.Server) *subscription {
	t.Helper()
	conn := primary.Connect(t, "replication=database")
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT app LOGICAL 0/0"})
	err := conn.Conn().SetDeadline(time.Now().Add(2 * pgtest.ReplayTimeout))
	if err = errors.Join(err, conn.Frontend().Flush()); err != nil {
		t.Fatal(err)
	}
	w := &subscription{lines: make(chan string, 100)}
	done := make(chan struct{})
	go w.read(conn, done)
	t.Cleanup(func() {
		conn.Conn().Close()
		<-done
	})
	return w
}

func (w *subscription) read(conn *pgconn.PgConn, done chan struct{}) {
	defer close(done)
	for {
		m, err := conn.Frontend().Receive()
		if err != nil {
			close(w.lines)
			return
		}
		if d, ok := m.(*pgproto3.CopyData); ok && d.Data[0] == 'w' {
			w.lines <- string(d.Data[25:])
		}
	}
}

// expect waits for a row with that word.
func (w *subscription) expect(t *testing.T, word string) {
	t.Helper()
	for line := range w.lines {
		if strings.Contains(line, "'"+word+"'") {
			return
		}
	}
	t.Fatalf("the stream ended before %q", word)
}

// more reports whether a row is there already.
func (w *subscription) more() bool {
	for {
		select {
		case line := <-w.lines:
			if strings.Contains(line, "INSERT") {
				return true
			}
		default:
			return false
		}
	}
}
