package failover

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/proxy/admin"
)

// A member that follows another one is killed amid commits, and its WAL is removed. It gets all of it anew from the puller.
// Then nobody need ask for more than that: when the primary dies and a standby that has everything is promoted, both
// proxies follow it.
func TestEmptiedMemberThenAFailover(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "wal_retrieve_retry_interval = 200ms")
	primary := in.Primary(t, settings)
	primary.Exec(t, "CREATE TABLE q (n int)")
	s1 := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("s1"))
	all := scene.ClusterOf(t, scene.Hosts(primary, s1), scene.RuleFile("ANY 1 (a, b, s1)")+"upstream:\n  via: cluster\n", "a", "b")
	behind := func(p *pgtest.Proxy) {
		s1.Set(t, "primary_conninfo = '"+p.Conninfo("application_name=s1")+"'")
		s1.Reload()
	}
	behind(all[0])
	puller := scene.Puller(t, primary, all)
	other := all[1-slices.Index(all, puller)]
	behind(puller)
	for _, s := range []*pgtest.Server{primary, s1} {
		s.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
		s.Reload()
	}
	scene.WaitSatisfiable(t, all...)
	for range 20 {
		primary.Exec(t, "INSERT INTO q VALUES (1)")
	}
	other.Kill9(t)
	if err := os.RemoveAll(filepath.Join(other.DataDir, "wal")); err != nil {
		t.Fatal(err)
	}
	other.Start(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "all to be there again, and the promise to end", func() (bool, error) {
		primary.Exec(t, "INSERT INTO q VALUES (2)")
		return scene.Status(t, other).Upstream.Promised < walstore.PromisedAll, nil
	})
	pgtest.WaitCaughtUp(t, primary, s1)
	for _, p := range all {
		flushed(t, p, primary.CurrentLSN(t))
	}
	primary.Kill9(t)
	s1.Promote(t)
	for _, p := range all {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to follow", func() (bool, error) {
			st := scene.Status(t, p)
			if st.Upstream.Lack != nil {
				t.Fatalf("%s refuses it: %+v", p.Name, st.Upstream.Lack)
			}
			return st.Store.Timeline == 2 && st.Upstream.State == admin.Streaming, nil
		})
	}
}
