package scene

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// QuorumSite is a primary whose commits wait for one proxy, and the standbys that the proxy's rule counts.
type QuorumSite struct {
	*Site
	Standbys []*pgtest.Server
}

func RuleFile(rule string) string { return "synchronous_standby_names: '" + rule + "'\n" }

// WaitSync makes the primary wait for the proxy, and waits until it would.
func (s *QuorumSite) WaitSync(t *testing.T) {
	t.Helper()
	s.Primary.WaitsFor(t, "proxy")
}

// Commit runs a commit that may have to wait.
type Commit struct {
	pid  uint32
	At   lsn.LSN // its record ends at or before it
	Done chan error
}

// Begin commits a row at a level of synchronous_commit, on a connection of its own.
func (s *QuorumSite) Begin(t *testing.T, level string) *Commit {
	t.Helper()
	conn := s.Primary.Connect(t)
	c := &Commit{pid: conn.PID(), Done: make(chan error, 1)}
	before := s.Primary.CurrentLSN(t)
	ctx, giveUp := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, err := pgtest.QueryConn(ctx, conn, "SET synchronous_commit = "+level+"; INSERT INTO q VALUES (1)")
		conn.Close(ctx)
		c.Done <- err
	}()
	t.Cleanup(func() { // before that of the connection, which is the goroutine's
		giveUp()
		<-over
	})
	pgtest.WaitFor(t, time.Minute, "the commit to be written", func() (bool, error) {
		c.At = s.Primary.CurrentLSN(t)
		return c.At > before && (len(c.Done) > 0 || s.Waits(t, c)), nil
	})
	return c
}

// Waits reports whether the primary holds a commit back for its standby.
func (s *QuorumSite) Waits(t *testing.T, c *Commit) bool {
	t.Helper()
	rows := s.Primary.SQL(t, "SELECT wait_event FROM pg_stat_activity WHERE pid = "+strconv.Itoa(int(c.pid)))
	return len(rows) == 1 && rows[0][0] == "SyncRep"
}

// Released waits until a commit has returned.
func (c *Commit) Released(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.Done:
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the commit still waits")
	}
}

// Held fails the test unless a commit waits although the named standbys have all of it. The proxy has heard that from
// them, and has had the time of several reports to tell the primary.
func (s *QuorumSite) Held(t *testing.T, c *Commit, column func(row StandbyRow) lsn.LSN, names ...string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, strings.Join(names, ", ")+" to have the commit", func() (bool, error) {
		have := map[string]bool{}
		st := Status(t, s.Proxy)
		for _, row := range st.Standbys {
			have[row.ApplicationName] = have[row.ApplicationName] || column(StandbyRow(row)) >= c.At
		}
		for _, name := range names {
			if !have[name] {
				return false, nil
			}
		}
		return st.Store.Flushed >= c.At, nil
	})
	// A report that should not have been made is made within the time in which one that should be is.
	for range 3 {
		s.Nudge(t)
	}
	if !s.Waits(t, c) {
		t.Fatalf("the commit was released although only %v have it", names)
	}
}

// Nudge lets WAL pass through everything once more.
func (s *QuorumSite) Nudge(t *testing.T) {
	t.Helper()
	s.Primary.Exec(t, "SET synchronous_commit = off; INSERT INTO q VALUES (0)")
	at := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "the proxy to flush "+at.String(), func() (bool, error) {
		return Status(t, s.Proxy).Store.Flushed >= at, nil
	})
}

// Pause stops a standby's walreceiver until the returned function is called, or the test ends.
func Pause(t *testing.T, standby *pgtest.Server) (resume func()) {
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
