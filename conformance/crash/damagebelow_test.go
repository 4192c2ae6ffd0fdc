package crash

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestDamageBelowAFailover: a standby was promoted a moment ago, the proxy is killed, and the segment before the one in
// which the new timeline began has rotted. PostgreSQL has that segment as one of the old timeline only. The proxy takes
// it from there, and goes on with the new one.
func TestDamageBelowAFailover(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	const fill = "SELECT pg_logical_emit_message(true, 'x', repeat('x', 3000)) FROM generate_series(1, 50)"
	keep := pgtest.Settings("wal_keep_size = 1GB")
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), keep)
	s1 := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("s1"), keep)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: scene.Hosts(primary, s1)})
	size, began := primary.SegSize(t), primary.CurrentLSN(t)
	for at := began; at < began+3<<20 || size.Offset(at) < int64(size)/3; at = primary.CurrentLSN(t) {
		primary.Exec(t, fill)
	}
	pgtest.WaitCaughtUp(t, primary, s1)
	primary.Stop(t, pgtest.Fast)
	fork := s1.ReplayLSN(t)
	s1.Promote(t)
	follows := func(what string) {
		t.Helper()
		at := s1.CurrentLSN(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, what, func() (bool, error) {
			st := scene.Status(t, proxy).Store
			return st.Timeline == 2 && st.Flushed >= at, nil
		})
	}
	follows("timeline 2 to be followed")
	proxy.Kill9(t)
	scene.Spoil(t, proxy, size, size.Floor(fork)-4000)
	s1.Exec(t, "CREATE TABLE after (i int)")
	proxy.Start(t)
	scene.Logged(t, "the proxy", proxy.Log, "stored WAL is damaged: it is neither served nor counted")
	follows("the rest")
	if n := pgtest.EqualSegments(t, size, scene.Status(t, proxy).Store.Flushed, proxy.DataDir+"/wal", s1.WALDir()); n < 3 {
		t.Errorf("%d segments could be compared", n)
	}
	standby := scene.StandbyOf(t, s1, proxy, "late", "")
	pgtest.WaitCaughtUp(t, s1, standby)
	pgtest.EqualData(t, s1, standby)
}
