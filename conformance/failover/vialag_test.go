package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Only the puller is fenced, as after a failover that was begun and given up. The other member covers what the rule asks
// for, takes over, and commits go on. Until then its status does not say that they do.
func TestFencedPuller(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (s1, s2)")+"upstream:\n  via: cluster\n", "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	first := scene.Puller(t, primary, all)
	other := all[1-slices.Index(all, first)]
	scene.StandbyOf(t, primary, other, "s1", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "on").Released(t)

	first.Program(t, "fence", "--timeline", "1", "--data-dir", first.DataDir)
	c := s.Begin(t, "on")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, other.Name+" to say that commits wait, and for whom", func() (bool, error) {
		return slices.ContainsFunc(scene.Status(t, other).Warnings, func(w string) bool {
			return strings.HasPrefix(w, admin.CommitsWait+"member "+first.Name)
		}), nil
	})
	c.Released(t)
	if p := scene.Puller(t, primary, all); p != other {
		t.Errorf("%s pulls", p.Name)
	}
	s.Begin(t, "on").Released(t)
}

// With FIRST a member that was started while another one was dead must not report. It takes over when the puller's way to
// the primary is cut, as nobody else reaches it. Once the way is mended the one that may report takes it back.
func TestPullerThatFirstHolds(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	ways := map[string]*scene.Leg{}
	for _, name := range []string{"a", "b", "c"} {
		ways[name] = scene.LegTo(t, primary.Port, 1)
	}
	all := scene.ClusterEach(t, pgtest.ProxyOptions{}, scene.RuleFile("FIRST 1 (s1)")+"upstream:\n  via: cluster\n",
		func(name string) string { return primary.Conninfo() + fmt.Sprintf(" port=%d", ways[name].Port) }, "a", "b", "c")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	able := scene.Puller(t, primary, all)
	at := slices.Index(all, able)
	held, dead := all[(at+1)%3], all[(at+2)%3]
	scene.StandbyOf(t, primary, able, "s1", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b, c)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	dead.Kill9(t)
	held.Terminate(t)
	held.Start(t)
	s.Begin(t, "on").Released(t)

	ways[able.Name].Set(scene.Weather{Stall: true})
	pgtest.WaitFor(t, pgtest.ReplayTimeout, able.Name+" to stream from "+held.Name, func() (bool, error) {
		u := scene.Status(t, able).Upstream
		return u.State == admin.Streaming && u.Member == held.Name, nil
	})
	ways[able.Name].Set(scene.Weather{})
	s.Begin(t, "on").Released(t)
	if p := scene.Puller(t, primary, all); p != able {
		t.Errorf("%s pulls", p.Name)
	}
}
