package failover

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A cluster is upgraded member by member from the release before, the puller first, back, and the other one first.
// Commits go on at every step, with a voter behind a member of either release (ruling R39).
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	_, before := pgtest.PreviousRelease(t)
	now := pgtest.Binary(t)
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	config := scene.RuleFile("ANY 2 (s1, s2)") + scene.AccessFile() + "upstream:\n  via: cluster\n"
	all := scene.ClusterThat(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Binary: before}, config, "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: all[0]}}
	scene.StandbyOf(t, primary, all[0], "s1", "")
	scene.StandbyOf(t, primary, all[1], "s2", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	first := scene.Puller(t, primary, all)
	other := all[0]
	if other == first {
		other = all[1]
	}
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "remote_apply").Released(t)

	newer := map[*pgtest.Proxy]bool{}
	become := func(who *pgtest.Proxy, binary string) {
		t.Helper()
		meanwhile := s.Begin(t, "on")
		who.Become(t, binary)
		newer[who] = binary == now
		meanwhile.Released(t)
		scene.WaitSatisfiable(t, all...)
		s.Begin(t, "remote_apply").Released(t)
		version := 1
		if newer[first] && newer[other] {
			version = 2
		}
		for _, p := range all {
			if newer[p] {
				waitVersion(t, p, version)
			}
			if n := scene.Status(t, p).Cluster.Garbled; n != 0 {
				t.Errorf("%s did not understand %d connections", p.Name, n)
			}
		}
	}
	for _, binary := range []string{now, before} {
		become(first, binary)
		become(other, binary)
	}
	become(other, now)
	become(first, now)
}

// waitVersion waits until a proxy and all other members say to each other that they speak a message version.
func waitVersion(t *testing.T, p *pgtest.Proxy, version int) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, p.Name+" and the others to understand each other", func() (bool, error) {
		for _, peer := range scene.Status(t, p).Cluster.Peers {
			if peer.Strange != "" || peer.Version != version || peer.Heard.IsZero() || peer.Slots != "" {
				return false, nil
			}
		}
		return true, nil
	})
}

// What a lone proxy with a rule and a slot writes, the release before reads, and the other way round (ruling R39).
func TestLoneDowngrade(t *testing.T) {
	t.Parallel()
	_, before := pgtest.PreviousRelease(t)
	now := pgtest.Binary(t)
	in := pgtest.Usual(t)
	s := &scene.QuorumSite{Site: scene.NewSiteWith(t, in, pgtest.ProxyOptions{
		Config: scene.RuleFile("ANY 1 (s1)") + scene.AccessFile() + "slots:\n  auto_create: true\n", Binary: before,
	})}
	s.Primary.Exec(t, "CREATE TABLE q (n int)")
	s.Standby(t, "s1", "s1_slot")
	s.WaitSync(t)
	for _, binary := range []string{now, before, now} {
		meanwhile := s.Begin(t, "on")
		s.Proxy.Become(t, binary)
		meanwhile.Released(t)
		s.Begin(t, "remote_apply").Released(t)
		if slots := scene.Status(t, s.Proxy).Slots; len(slots) != 1 || slots[0].Name != "s1_slot" {
			t.Errorf("slots %+v", slots)
		}
	}
}
