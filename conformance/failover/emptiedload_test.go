package failover

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// One proxy pulls, the other one follows it through a failover on one connection, and commits go on without a pause. Then
// the one that follows is killed, and its WAL removed. It asks for what was acknowledged on the new timeline, and for
// nothing else: it begins anew, and follows no old primary that somebody starts by mistake.
func TestEmptiedUnderLoadAfterAFailover(t *testing.T) {
	t.Parallel()
	for name, mistake := range map[string]bool{"the new primary": false, "the old one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pgtest.Usual(t)
			settings := pgtest.Settings("wal_keep_size = 1GB", "wal_retrieve_retry_interval = 200ms")
			primary := in.Primary(t, settings)
			primary.Exec(t, "CREATE TABLE q (n int)")
			s1 := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("s1"))
			all := scene.ClusterOf(t, scene.Hosts(primary, s1),
				scene.RuleFile("ANY 1 (a, b, s1)")+"upstream:\n  via: cluster\n", "a", "b")
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
			pgtest.WaitCaughtUp(t, primary, s1)
			primary.Kill9(t)
			s1.Promote(t)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "commits to be stored on timeline 2", func() (bool, error) {
				s1.Exec(t, "INSERT INTO q VALUES (2)")
				st := scene.Status(t, other).Store
				return st.Timeline == 2 && st.Flushed >= s1.CurrentLSN(t), nil
			})
			other.Kill9(t)
			if err := os.RemoveAll(filepath.Join(other.DataDir, "wal")); err != nil {
				t.Fatal(err)
			}
			if !mistake {
				other.Start(t)
				return
			}
			puller.Kill9(t)
			s1.Kill9(t)
			primary.Start(t)
			other.StartNoWait(t)
			if l := waitLack(t, other).Upstream.Lack; l.Of != 2 {
				t.Errorf("%+v", l)
			}
		})
	}
}
