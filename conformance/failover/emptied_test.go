package failover

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// A lone proxy whose store was emptied refuses the primary that lost WAL, by its own promises. It does so after a
// restart too, when the primary has overtaken that position by other WAL. The operator's word ends it, for good.
func TestEmptiedLoneStoreRemembersLostWAL(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(*pgtest.Server) {}, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)")})
	c.Proxy.Terminate(t)
	c.s1.Stop(t, pgtest.Fast)
	if err := os.RemoveAll(filepath.Join(c.Proxy.DataDir, "wal")); err != nil {
		t.Fatal(err)
	}
	c.revert(t)
	c.Primary.Start(t)
	c.Proxy.StartNoWait(t)
	before := waitLack(t, c.Proxy).Upstream.Lack
	c.Proxy.Terminate(t)
	c.overtake(t)
	c.Proxy.StartNoWait(t)
	if l := waitLack(t, c.Proxy).Upstream.Lack; !l.Lost || l.From != before.From || l.To != before.To {
		t.Errorf("after a restart %+v, before it %+v", l, before)
	}
	c.Proxy.Program(t, "accept-timeline", "1", "--data-dir", c.Proxy.DataDir)
	c.Proxy.WaitReady(t)
	c.Proxy.Restart(t)
	if st := scene.Status(t, c.Proxy); st.Upstream.Lack != nil || len(st.GivenUp) != 1 || st.GivenUp[0].From != before.From {
		t.Errorf("%+v, %+v", st.Upstream.Lack, st.GivenUp)
	}
}

// A lone proxy whose store was emptied recognises the primary by what the store had of it. The right one is followed. One
// that lost WAL is refused, also where it has written more than that before it is first seen. The operator's word ends it.
func TestEmptiedLoneStoreRecognisesThePrimary(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(*pgtest.Server) {}, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)")})
	empty := func() {
		t.Helper()
		c.Proxy.Terminate(t)
		if err := os.RemoveAll(filepath.Join(c.Proxy.DataDir, "wal")); err != nil {
			t.Fatal(err)
		}
	}
	empty()
	c.Primary.Start(t)
	c.Proxy.Start(t)
	c.Primary.Exec(t, "INSERT INTO t VALUES (3)")
	pgtest.WaitCaughtUp(t, c.Primary, c.s1)
	c.lost = c.Primary.CurrentLSN(t)
	c.has(t, c.lost)
	c.s1.Stop(t, pgtest.Fast)
	empty()
	c.Primary.Stop(t, pgtest.Immediate)
	c.revert(t)
	c.Primary.Start(t)
	c.overtake(t)
	c.Proxy.StartNoWait(t)
	before := waitLack(t, c.Proxy).Upstream.Lack
	if !before.Lost || before.From != lsn.Invalid || before.To <= c.lost-lsn.LSN(c.size) || before.To > c.lost {
		t.Errorf("%+v, lost is what lies before %s", before, c.lost)
	}
	c.Proxy.Terminate(t)
	c.Proxy.StartNoWait(t)
	if l := waitLack(t, c.Proxy).Upstream.Lack; !l.Lost || l.To != before.To {
		t.Errorf("after a restart %+v, before it %+v", l, before)
	}
	c.Proxy.Program(t, "accept-timeline", "1", "--data-dir", c.Proxy.DataDir)
	c.Proxy.WaitReady(t)
	empty() // what is given up is not held against the primary again
	c.Proxy.Start(t)
	if st := scene.Status(t, c.Proxy); st.Upstream.Lack != nil || len(st.GivenUp) != 1 {
		t.Errorf("%+v, %+v", st.Upstream.Lack, st.GivenUp)
	}
}

// forgetful are two proxies of one rule that know a primary and a stale candidate for its place; b has the standby whose
// votes released commits that the candidate lacks. The primary is dead, a is down.
type forgetful struct {
	*scene.Cluster
	a, b *pgtest.Proxy
	s1   *pgtest.Server
}

func newForgetful(t *testing.T) *forgetful {
	t.Helper()
	in := pgtest.Usual(t)
	c := &forgetful{Cluster: &scene.Cluster{In: in, Primary: in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))}}
	c.Primary.Exec(t, "CREATE TABLE q (n int)")
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, pgtest.Name("candidate"))
	all := scene.ClusterOf(t, scene.Hosts(c.Primary, c.Candidate), scene.RuleFile("ANY 1 (s1)"), "a", "b")
	c.a, c.b, c.Proxy = all[0], all[1], all[1]
	c.s1 = c.Standby(t, "s1")
	c.Primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	c.Primary.Reload()
	scene.WaitSatisfiable(t, all...)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	c.Candidate.Stop(t, pgtest.Fast)
	c.Primary.Exec(t, "INSERT INTO q VALUES (2)")
	at := c.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both proxies to know the commit", func() (bool, error) {
		return scene.Status(t, c.a).Upstream.Promised >= at || scene.Status(t, c.b).Upstream.Promised >= at, nil
	})
	c.Primary.Kill9(t)
	c.a.Terminate(t)
	return c
}

// A proxy whose store was emptied does not follow a server that lacks acknowledged WAL, by its own file promised or by
// another member's word. It releases no commit on that server.
func TestEmptyStoreFollowsNoStaleServer(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"wal", "wal and promised", "all but the key"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			c := newForgetful(t)
			names := []string{"wal"}
			switch lost {
			case "wal and promised":
				names = append(names, "promised")
			case "all but the key":
				names = append(names, "promised", "replproxy.meta", "slots", "lock", "control.sock")
			}
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(c.a.DataDir, name)); err != nil {
					t.Fatal(err)
				}
			}
			c.Candidate.Start(t)
			c.Candidate.Promote(t)
			c.a.StartNoWait(t)
			st := waitLack(t, c.a)
			if l := st.Upstream.Lack; l.Timeline != 2 || l.Of != 1 || l.From >= l.To || st.Store.Timeline != 0 {
				t.Errorf("%+v, the store is on timeline %s", l, st.Store.Timeline)
			}
			if st := waitLack(t, c.b); st.Upstream.Lack.Timeline != 2 {
				t.Errorf("%+v", st.Upstream.Lack)
			}
		})
	}
}
