package conformance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// quorumSite is a primary whose commits wait for one proxy, and the standbys that the proxy's rule counts.
type quorumSite struct {
	*site
	standbys []*pgtest.Server
}

// newQuorumSite starts standbys s1, s2, … behind a proxy with a rule, and then makes the primary wait.
func newQuorumSite(t *testing.T, in *pgtest.Install, rule string, standbys int) *quorumSite {
	t.Helper()
	s := &quorumSite{site: newSiteWith(t, in, pgtest.ProxyOptions{Config: ruleFile(rule)})}
	s.primary.Exec(t, "CREATE TABLE q (n int)")
	for i := range standbys {
		s.standbys = append(s.standbys, s.standby(t, fmt.Sprintf("s%d", i+1), "", pgtest.Settings("hot_standby_feedback = off")))
	}
	s.waitSync(t)
	return s
}

func ruleFile(rule string) string { return "synchronous_standby_names: '" + rule + "'\n" }

// waitSync makes the primary wait for the proxy, and waits until it would.
func (s *quorumSite) waitSync(t *testing.T) {
	t.Helper()
	s.primary.Set(t, "synchronous_standby_names = 'proxy'")
	s.primary.Reload()
	pgtest.WaitFor(t, time.Minute, "the primary to wait for the proxy", func() (bool, error) {
		return s.primary.Scalar(t, "SHOW synchronous_standby_names") == "proxy", nil
	})
	s.primary.Exec(t, "CHECKPOINT") // commits wait once the checkpointer has read the setting: it does before it works
}

// commit is one that may have to wait.
type commit struct {
	pid  uint32
	at   lsn.LSN // its record ends at or before it
	done chan error
}

// begin commits a row at a level of synchronous_commit, on a connection of its own.
func (s *quorumSite) begin(t *testing.T, level string) *commit {
	t.Helper()
	conn := s.primary.Connect(t)
	c := &commit{pid: conn.PID(), done: make(chan error, 1)}
	before := s.primary.CurrentLSN(t)
	ctx, giveUp := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, err := pgtest.QueryConn(ctx, conn, "SET synchronous_commit = "+level+"; INSERT INTO q VALUES (1)")
		conn.Close(ctx)
		c.done <- err
	}()
	t.Cleanup(func() { // before that of the connection, which is the goroutine's
		giveUp()
		<-over
	})
	pgtest.WaitFor(t, time.Minute, "the commit to be written", func() (bool, error) {
		c.at = s.primary.CurrentLSN(t)
		return c.at > before && (len(c.done) > 0 || s.waits(t, c)), nil
	})
	return c
}

// waits reports whether the primary holds a commit back for its standby.
func (s *quorumSite) waits(t *testing.T, c *commit) bool {
	t.Helper()
	rows := s.primary.SQL(t, "SELECT wait_event FROM pg_stat_activity WHERE pid = "+strconv.Itoa(int(c.pid)))
	return len(rows) == 1 && rows[0][0] == "SyncRep"
}

// released waits until a commit has returned.
func (c *commit) released(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.done:
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the commit still waits")
	}
}

// held fails the test unless a commit waits although the named standbys have all of it: the proxy has
// heard them say so, and has had the time of several reports to tell the primary.
func (s *quorumSite) held(t *testing.T, c *commit, column func(row standbyRow) lsn.LSN, names ...string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, strings.Join(names, ", ")+" to have the commit", func() (bool, error) {
		have := map[string]bool{}
		st := status(t, s.proxy)
		for _, row := range st.Standbys {
			have[row.ApplicationName] = have[row.ApplicationName] || column(standbyRow(row)) >= c.at
		}
		for _, name := range names {
			if !have[name] {
				return false, nil
			}
		}
		return st.Store.Flushed >= c.at, nil
	})
	// A report that should not have been made is made within the time in which one that should be is.
	for range 3 {
		s.nudge(t)
	}
	if !s.waits(t, c) {
		t.Fatalf("the commit was released although only %v have it", names)
	}
}

// nudge lets WAL pass through everything once more.
func (s *quorumSite) nudge(t *testing.T) {
	t.Helper()
	s.primary.Exec(t, "SET synchronous_commit = off; INSERT INTO q VALUES (0)")
	at := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "the proxy to flush "+at.String(), func() (bool, error) {
		return status(t, s.proxy).Store.Flushed >= at, nil
	})
}

// pause stops a standby's walreceiver until the returned function is called, or the test ends.
func pause(t *testing.T, standby *pgtest.Server) (resume func()) {
	t.Helper()
	var pid int
	pgtest.WaitFor(t, time.Minute, "a walreceiver of "+standby.Name, func() (bool, error) {
		rows := standby.SQL(t, "SELECT pid FROM pg_stat_wal_receiver")
		if len(rows) == 1 {
			pid, _ = strconv.Atoi(rows[0][0])
		}
		return pid != 0, nil
	})
	resume = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resume)
	return resume
}
