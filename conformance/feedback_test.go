package conformance

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

const feedbackRows = "1000"

// TestFeedback: what transactions on standbys behind the proxy can see is kept by the primary's VACUUM, as long
// as they run, through whatever happens to the proxy's connection, and who holds it is shown. A standby
// without slot that goes gives it free, one with a slot does not, until feedback.max_age says so. The
// upstream has a slot for the proxy, or has not.
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
	s := newSiteWith(t, in, pgtest.ProxyOptions{Config: fmt.Sprintf(config, 0, slot)}, pgtest.Settings("autovacuum = off"))
	s.createSlot(t, "kept")
	s.primary.Exec(t, "CREATE TABLE seen AS SELECT generate_series(1, "+feedbackRows+") AS n")
	settings := pgtest.Settings("hot_standby_feedback = on", "wal_receiver_status_interval = 1s",
		"max_standby_streaming_delay = 0", "wal_retrieve_retry_interval = 100ms")
	reader := s.standby(t, "reader", "", settings)
	kept := s.standby(t, "kept", "kept", settings)
	s.verify(t, reader, kept)

	snapshot, xmin := look(t, reader)
	held := func(x uint64) bool { return x <= xmin } // newer values are sent on every wal_receiver_status_interval only
	s.waitHorizon(t, slot, "reader", held)
	s.primary.Exec(t, "DELETE FROM seen")
	vacuum := func() {
		t.Helper()
		s.primary.Exec(t, "VACUUM seen")
		pgtest.WaitCaughtUp(t, s.primary, reader)
		if got := snapshot(); got != feedbackRows {
			t.Fatalf("the transaction on the standby sees %s rows", got)
		}
	}
	vacuum()
	s.primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
	s.waitHorizon(t, slot, "reader", held)
	vacuum()
	if slot != "" { // or there is a moment in which nobody can hold it, as with PostgreSQL
		s.proxy.Kill9(t)
		s.primary.Exec(t, "VACUUM seen")
		s.proxy.Start(t)
		s.waitHorizon(t, slot, "reader", held)
		vacuum()
		s.primary.Restart(t)
		s.waitHorizon(t, slot, "reader", held)
		vacuum()
	}

	reader.Kill9(t) // with its transaction
	pgtest.WaitCaughtUp(t, s.primary, kept)
	_, keptXmin := look(t, kept)
	moved := func(x uint64) bool { return xmin < x && x <= keptXmin }
	s.waitHorizon(t, slot, "kept", moved)
	kept.Kill9(t)
	for range 200 {
		s.primary.Exec(t, "SELECT txid_current()")
	}
	s.proxy.Restart(t) // the slot remembers
	s.waitHorizon(t, slot, "kept", moved)
	reload(t, s.proxy, fmt.Sprintf("upstream: {conninfo: %q, slot: %q}\nfeedback: {settle: 500ms, max_age: 100}\n",
		s.primary.Conninfo(), slot))
	s.waitHorizon(t, slot, "kept", func(x uint64) bool { return x >= keptXmin+100 })
	if f := status(t, s.proxy).Feedback; len(f.Capped) != 1 || f.Capped[0] != "kept" {
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

// horizon is what the primary keeps for the proxy.
func (s *site) horizon(t *testing.T, slot string) string {
	t.Helper()
	sql := "SELECT min(backend_xmin::text) FROM pg_stat_replication WHERE state = 'streaming'"
	if slot != "" {
		sql = "SELECT xmin FROM pg_replication_slots WHERE slot_name = '" + slot + "'"
	}
	return s.primary.Scalar(t, sql)
}

// waitHorizon waits until the primary and the proxy agree on the oldest transaction that is kept, for holder.
func (s *site) waitHorizon(t *testing.T, slot, holder string, is func(uint64) bool) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to keep what "+holder+" needs", func() (bool, error) {
		f, text := status(t, s.proxy).Feedback, s.horizon(t, slot)
		x, err := strconv.ParseUint(text, 10, 64)
		return err == nil && f.XminOf == holder && is(f.Xmin) && is(x), nil
	})
}
