package failover

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Every proxy and the primary are killed at once under load, with auth.method scram, and come back in a random order.
// Standbys log in at proxies whose primary is not there yet. Nothing that was acknowledged is lost, and commits go on.
func TestAllKilledAtOnce(t *testing.T) {
	t.Parallel()
	s, rnd := newAnewSite(t), scene.Random(t)
	for range 2 {
		s.load.WaitProgress(t, 20)
		s.primary.Kill9(t)
		for _, p := range s.Proxies {
			p.Kill9(t)
		}
		starts := []func(){func() { s.primary.StartNoWait(t) }}
		names := []string{s.primary.Name}
		for _, p := range s.Proxies {
			starts, names = append(starts, func() { p.StartNoWait(t) }), append(names, p.Name)
		}
		for _, i := range rnd.Perm(len(starts)) {
			t.Logf("%s starts", names[i])
			starts[i]()
		}
		s.primary.WaitReady(t)
		for _, p := range s.Proxies {
			p.WaitReady(t)
		}
		scene.WaitSatisfiable(t, s.Proxies...)
	}
	s.goesOn(t, s.primary)
	for _, standby := range s.standbys {
		pgtest.WaitCaughtUp(t, s.primary, standby)
		pgtest.EqualData(t, s.primary, standby)
	}
}
