package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// The volume of the puller is full. The other member has space, a voter and a way to the primary, so it takes over, and
// commits go on within 15 s. It keeps the stream when the one that is full takes nothing more at all, and when that one
// has space again, which then gets what it missed.
func TestFullDiskOfThePuller(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int); CREATE TABLE big (t text)")
	volumes := map[string]*pgtest.Volume{"a": in.NewVolume(t, "400m"), "b": in.NewVolume(t, "400m")}
	all := scene.ClusterWith(t, scene.RuleFile("ANY 1 (s1, s2)")+"upstream:\n  via: cluster\nwal: {keep_size: 384MB}\n",
		func(name string) pgtest.ProxyOptions {
			return pgtest.ProxyOptions{Upstream: primary.Conninfo(), DataDir: volumes[name].DataDir()}
		}, "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	standbys := map[*pgtest.Proxy]*pgtest.Server{}
	for i, p := range all {
		standbys[p] = scene.StandbyOf(t, primary, p, []string{"s1", "s2"}[i], "")
	}
	first := scene.Puller(t, primary, all)
	other := all[1-slices.Index(all, first)]
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "on").Released(t)
	writeUntil := func(what string, full func(admin.Store) bool) {
		t.Helper()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, what, func() (bool, error) {
			primary.Exec(t, "SET synchronous_commit = local; INSERT INTO big SELECT repeat('x', 500) FROM generate_series(1, 5000)")
			return full(scene.Status(t, first).Store), nil
		})
	}

	volumes[first.Name].Fill(t, 0)
	writeUntil("the volume of the puller to be full", func(st admin.Store) bool { return st.DiskFull })
	began := time.Now()
	c := s.Begin(t, "on")
	select {
	case err := <-c.Done:
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("commits went on after %.1f s", time.Since(began).Seconds())
	case <-time.After(30 * time.Second): // 15 s, on a machine that is not busy
		t.Fatal("the commit still waits")
	}
	otherPulls := func() {
		t.Helper()
		if p := scene.Puller(t, primary, all); p != other {
			t.Fatalf("%s pulls", p.Name)
		}
	}
	otherPulls()

	writeUntil("nothing more to be taken", func(st admin.Store) bool { return st.Paused })
	s.Begin(t, "on").Released(t)
	otherPulls()

	volumes[first.Name].Heal(t)
	pgtest.WaitCaughtUp(t, primary, standbys[first])
	s.Begin(t, "on").Released(t)
	otherPulls()
}
