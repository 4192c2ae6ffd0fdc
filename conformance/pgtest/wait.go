package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// pollInterval is the interval between looks at a condition: short beside the waits of tests, long beside the cost of
// a look.
const pollInterval = 20 * time.Millisecond

// leastLooks is the part of the looks of an idle machine, one in so many, before which WaitFor does not give up. Where
// even the test comes forward slowly, the servers have not had that time either.
const leastLooks = 4

// ReplayTimeout bounds the time for a standby to catch up with the WAL of tests.
const ReplayTimeout = 90 * time.Second

// WaitFor looks at a condition until it holds. It fails the test when the condition returns an error, or when timeout
// has passed together with as many looks as an idle machine gets in a fraction of it. what completes the sentence
// "timed out waiting for …".
func WaitFor(t testing.TB, timeout time.Duration, what string, condition func() (bool, error)) {
	t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	deadline, looks := time.Now().Add(timeout), int64(timeout/pollInterval/leastLooks)
	for ; ; looks-- {
		ok, err := condition()
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		if looks <= 0 && time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s (%v)", what, timeout)
		}
		<-ticker.C
	}
}

// WaitReplay waits until a standby has replayed up to at. A standby that does not accept connections
// (yet) is waited for as well.
func (s *Server) WaitReplay(t testing.TB, at lsn.LSN) {
	t.Helper()
	WaitFor(t, ReplayTimeout, s.Name+" to replay "+at.String(), func() (bool, error) { return s.Replayed(t, at), nil })
}

// Replayed reports whether a standby has replayed up to at. One that does not answer has not.
func (s *Server) Replayed(t testing.TB, at lsn.LSN) bool {
	ctx, cancel := context.WithTimeout(t.Context(), queryTimeout)
	defer cancel()
	rows, err := Query(ctx, s.near(), "SELECT coalesce(pg_last_wal_replay_lsn() >= '"+at.String()+"', false)")
	return err == nil && len(rows) == 1 && rows[0][0] == "t"
}

// WaitCaughtUp waits until a standby has replayed all that its primary has written by now.
func WaitCaughtUp(t testing.TB, primary, standby *Server) {
	t.Helper()
	standby.WaitReplay(t, primary.CurrentLSN(t))
}

// WaitStreaming waits until exactly n walsenders of a server are in state streaming, and no others
// are there, and returns them.
func WaitStreaming(t testing.TB, s *Server, n int) []Walsender {
	t.Helper()
	var rows []Walsender
	WaitFor(t, ReplayTimeout, "streaming walsenders of "+s.Name, func() (bool, error) {
		rows = PgStatReplication(t, s)
		if len(rows) != n {
			return false, nil
		}
		for _, r := range rows {
			if r.State != "streaming" {
				return false, nil
			}
		}
		return true, nil
	})
	return rows
}
