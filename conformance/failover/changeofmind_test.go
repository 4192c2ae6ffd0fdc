package failover

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// waitWarned waits until a proxy warns of something.
func waitWarned(t *testing.T, p *pgtest.Proxy, text string) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to warn: "+text, func() (bool, error) {
		return strings.Contains(strings.Join(scene.Status(t, p).Warnings, "\n"), text), nil
	})
}

// An operator gives lost WAL up on one of two proxies, and changes his mind before that one is restarted. The primary is
// stopped for good, and a standby promoted that has the WAL. Until then each proxy says what the other one was told, and
// that the primary must not be started again. Afterwards nothing is given up any more, on neither, and a standby with
// that WAL follows. The restart sets nothing aside.
func TestChangeOfMind(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	port := pgtest.FreePort(t)
	hosts := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres", primary.Port, port)
	all := scene.ClusterOf(t, hosts, scene.RuleFile("ANY 1 (s1, s2)"), "a", "b")
	a, b := all[0], all[1]
	s1 := scene.StandbyOf(t, primary, b, "s1", "", pgtest.Port(port))
	s2 := scene.StandbyOf(t, primary, b, "s2", "", pgtest.Settings("wal_retrieve_retry_interval = 200ms"))
	scene.WaitSatisfiable(t, all...)
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, s1)
	pgtest.WaitCaughtUp(t, primary, s2)
	for _, p := range all {
		flushed(t, p, primary.CurrentLSN(t))
	}
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	for _, p := range all {
		waitLack(t, p)
	}
	a.Program(t, "accept-timeline", "1", "--data-dir", a.DataDir)
	scene.Logged(t, a.Name, a.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	waitWarned(t, a, "is given up here, and b may have it still")
	waitWarned(t, b, "another proxy has given that WAL up")
	primary.Stop(t, pgtest.Fast)
	waitWarned(t, b, fmt.Sprintf("127.0.0.1:%d, which does not answer now, has lost WAL", primary.Port))
	for _, p := range all {
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	b.Program(t, "tail", "--timeline", "1", "--candidate", "s1", "--data-dir", b.DataDir, "--wait", "60s")
	s1.Promote(t)
	scene.Logged(t, a.Name, a.Log, "WAL that was given up is kept")
	scene.WaitSatisfiable(t, all...)
	s1.Exec(t, "INSERT INTO q VALUES (1001)")
	pgtest.WaitCaughtUp(t, s1, s2)
	pgtest.EqualData(t, s1, s2)
	a.Restart(t)
	if aside, err := filepath.Glob(filepath.Join(a.DataDir, "diverged", "*-lost")); err != nil || len(aside) > 0 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	scene.WaitSatisfiable(t, all...)
	for _, p := range all {
		st := scene.Status(t, p)
		given := func(w string) bool { return strings.Contains(w, "given up") }
		if slices.ContainsFunc(st.Warnings, given) || len(st.GivenUp) > 0 || st.Upstream.State != admin.Streaming {
			t.Errorf("%s: %+v, %q", p.Name, st.GivenUp, st.Warnings)
		}
	}
}
