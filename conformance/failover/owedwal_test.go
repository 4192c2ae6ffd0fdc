package failover

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// removeNewest removes the newest n segments of a proxy's store, whose process has ended.
func removeNewest(t *testing.T, p *pgtest.Proxy, n int) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(p.DataDir, "wal", strings.Repeat("[0-9A-F]", 24)))
	if err != nil || len(all) <= n {
		t.Fatalf("%d segments are stored: %v", len(all), err)
	}
	slices.Sort(all)
	for _, name := range all[len(all)-n:] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A store that finds less WAL than it had does not take whatever comes in its place. It recognises the primary by a
// hash. The right one is followed without a warning. One that has lost that WAL is refused, also where it has written
// more since than the store had. The operator's word ends that.
func TestOwingStoreRecognisesThePrimary(t *testing.T) {
	t.Parallel()
	insert := func(p *pgtest.Server) { p.Exec(t, "INSERT INTO t SELECT 3 FROM generate_series(1, 3000)") }
	segment := func(p *pgtest.Server) {
		insert(p)
		p.Exec(t, "SELECT pg_switch_wal()")
		insert(p)
	}
	for name, c := range map[string]struct {
		ahead func(*pgtest.Server)
		kill  bool
		gone  int  // the newest segments of the store
		lost  bool // by the primary too
	}{
		"the open one": {insert, false, 1, false},
		"the open one and the one before, killed": {segment, true, 2, false},
		"the open one, lost":                      {insert, false, 1, true},
		"the open one, killed and lost":           {insert, true, 1, true},
		"the open one and the one before, lost":   {segment, false, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t, c.ahead, pgtest.ProxyOptions{})
			if c.kill {
				l.Proxy.Kill9(t)
			} else {
				l.Proxy.Terminate(t)
			}
			removeNewest(t, l.Proxy, c.gone)
			if c.lost {
				l.revert(t)
			}
			l.Primary.Start(t)
			l.overtake(t)
			l.Proxy.StartNoWait(t)
			if !c.lost {
				l.followed(t)
				return
			}
			if lack := waitLack(t, l.Proxy).Upstream.Lack; !lack.Lost || lack.To > l.lost || lack.Timeline != 1 {
				t.Errorf("%+v, %s was lost", lack, l.lost)
			}
			if rows := l.s1.Scalar(t, "SELECT count(*) FROM t WHERE n = 100"); rows != "0" {
				t.Errorf("the standby has %s rows of the other history", rows)
			}
			l.Proxy.Terminate(t)
			l.Proxy.StartNoWait(t)
			waitLack(t, l.Proxy)
			l.s1.Stop(t, pgtest.Fast)
			l.Proxy.Program(t, "accept-timeline", "1", "--data-dir", l.Proxy.DataDir)
			l.Proxy.WaitReady(t)
			l.Proxy.Restart(t)
			l.goesOn(t)
		})
	}
}

// followed looks that the proxy follows the primary, that nothing warns of it, and that the standby has what it has.
func (c *lossy) followed(t *testing.T) {
	t.Helper()
	c.Proxy.WaitReady(t)
	pgtest.WaitCaughtUp(t, c.Primary, c.s1)
	pgtest.EqualData(t, c.Primary, c.s1)
	if w := strings.Join(scene.Status(t, c.Proxy).Warnings, "\n"); strings.Contains(w, "without a look") {
		t.Errorf("%s", w)
	}
}

// A member that owes WAL does not take other WAL from a member that follows the primary which has lost it. It releases no
// commit there, and its standby gets nothing of it.
func TestOwingMemberTakesNoOtherWAL(t *testing.T) {
	t.Parallel()
	c := newAwayMember(t, "upstream:\n  via: cluster\n")
	primary, a, b, s1 := c.Primary, c.a, c.b, c.s1
	primary.Exec(t, "INSERT INTO q SELECT generate_series(2, 3000)") // acknowledged
	pgtest.WaitCaughtUp(t, primary, s1)
	lost := primary.CurrentLSN(t)
	flushed(t, b, lost)
	s1.Stop(t, pgtest.Fast)
	b.Terminate(t)
	primary.Stop(t, pgtest.Immediate)
	removeNewest(t, b, 1)
	c.revert(t)
	primary.Start(t)
	for primary.CurrentLSN(t) <= lost+1<<20 {
		primary.Exec(t, "SET synchronous_commit = local; INSERT INTO q SELECT -100 FROM generate_series(1, 3000)")
	}
	a.StartNoWait(t) // it has nothing that was lost, and b, which knows, is away
	a.WaitReady(t)
	b.StartNoWait(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "b to refuse what it is sent", func() (bool, error) {
		_, body, err := b.Get(t.Context(), "/status")
		refused := strings.Contains(string(body), "differs") || strings.Contains(string(body), `"lack":`)
		return err == nil && refused, nil
	})
	s1.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := pgtest.Query(ctx, primary.Conninfo(), "INSERT INTO q VALUES (-1)"); err == nil {
		t.Error("a commit on the primary that lost WAL returned")
	}
	if rows := s1.Scalar(t, "SELECT count(*) FROM q"); rows != "3000" {
		t.Errorf("the standby has %s rows", rows)
	}
	if st := scene.Status(t, b); st.Store.Flushed >= lost {
		t.Errorf("b has WAL up to %s, %s was lost", st.Store.Flushed, lost)
	}
}
