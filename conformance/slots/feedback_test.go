package slots

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

const feedbackRows = "1000"

// TestFeedback: rows that transactions on standbys behind the proxy can see are kept by the primary's VACUUM as long
// as they run. That holds through all breaks of the proxy's connection, and the holder is shown. A standby without
// slot that goes gives it free, one with a slot does not, until feedback.max_age says so. The upstream has a slot for
// the proxy, or has not.
func TestFeedback(t *testing.T) {
	for _, slot := range []string{"replproxy_proxy", ""} {
		t.Run("slot="+slot, func(t *testing.T) {
			t.Parallel()
			testFeedback(t, pgtest.Usual(t), slot)
		})
	}
}

func testFeedback(t *testing.T, in *pgtest.Install, slot string) {
	config := "feedback: {settle: 500ms, max_age: %d}\nupstream: {slot: %q}\n"
	s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: fmt.Sprintf(config, 0, slot)}, pgtest.Settings("autovacuum = off"))
	s.CreateSlot(t, "kept")
	s.Primary.Exec(t, "CREATE TABLE seen AS SELECT generate_series(1, "+feedbackRows+") AS n")
	settings := pgtest.Settings("hot_standby_feedback = on", "wal_receiver_status_interval = 1s",
		"max_standby_streaming_delay = 0", "wal_retrieve_retry_interval = 100ms")
	reader := s.Standby(t, "reader", "", settings)
	kept := s.Standby(t, "kept", "kept", settings)
	s.Verify(t, reader, kept)

	snapshot, xmin := look(t, reader)
	held := func(x uint64) bool { return x <= xmin } // newer values are sent on every wal_receiver_status_interval only
	s.WaitHorizon(t, slot, "reader", held)
	s.Primary.Exec(t, "DELETE FROM seen")
	vacuum := func() {
		t.Helper()
		s.Primary.Exec(t, "VACUUM seen")
		pgtest.WaitCaughtUp(t, s.Primary, reader)
		if got := snapshot(); got != feedbackRows {
			t.Fatalf("the transaction on the standby sees %s rows", got)
		}
	}
	vacuum()
	s.Primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
	s.WaitHorizon(t, slot, "reader", held)
	vacuum()
	if slot != "" { // or there is a moment in which nobody can hold it, as with PostgreSQL
		s.Proxy.Kill9(t)
		s.Primary.Exec(t, "VACUUM seen")
		s.Proxy.Start(t)
		s.WaitHorizon(t, slot, "reader", held)
		vacuum()
		s.Primary.Restart(t)
		s.WaitHorizon(t, slot, "reader", held)
		vacuum()
	}

	reader.Kill9(t) // with its transaction
	pgtest.WaitCaughtUp(t, s.Primary, kept)
	_, keptXmin := look(t, kept)
	moved := func(x uint64) bool { return xmin < x && x <= keptXmin }
	s.WaitHorizon(t, slot, "kept", moved)
	kept.Kill9(t)
	for range 200 {
		s.Primary.Exec(t, "SELECT txid_current()")
	}
	s.Proxy.Restart(t) // the slot remembers
	s.WaitHorizon(t, slot, "kept", moved)
	scene.Reload(t, s.Proxy, fmt.Sprintf("upstream: {conninfo: %q, slot: %q}\nfeedback: {settle: 500ms, max_age: 100}\n",
		s.Primary.Conninfo(), slot))
	s.WaitHorizon(t, slot, "kept", func(x uint64) bool { return x >= keptXmin+100 })
	if f := scene.Status(t, s.Proxy).Feedback; len(f.Capped) != 1 || f.Capped[0] != "kept" {
		t.Errorf("what max_age does is not shown: %+v", f)
	}
}

// look begins a transaction that goes on until its server ends. It returns a function that tells how many rows
// it sees, and its xmin.
func look(t *testing.T, standby *pgtest.Server) (rows func() string, xmin uint64) {
	t.Helper()
	conn := standby.Connect(t)
	scalar := func(sql string) string {
		t.Helper()
		rows, err := pgtest.QueryConn(t.Context(), conn, sql)
		if err != nil {
			t.Fatalf("%s on %s: %v", sql, standby.Name, err)
		}
		return rows[len(rows)-1][0]
	}
	text := scalar("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_snapshot_xmin(pg_current_snapshot())")
	xmin, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return func() string { t.Helper(); return scalar("SELECT count(*) FROM seen") }, xmin
}
