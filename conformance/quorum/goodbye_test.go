package quorum

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestGoodBye: a member that is stopped takes its leave of the others: within a second they know that it and its
// standbys are gone, and none takes it for dead. One that is killed is missed.
func TestGoodBye(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (s1)"), "a", "b", "c")
	leaver, rest := all[2], all[:2]
	scene.StandbyOf(t, primary, leaver, "s1", "")
	scene.WaitSatisfiable(t, all...)
	const bound = time.Second // after the end of the process
	counts := func(p *pgtest.Proxy) bool {
		for _, v := range scene.Status(t, p).Quorum.Voters {
			if v.Name == "s1" {
				return v.Standing == "counts"
			}
		}
		return false
	}
	heard := func(p *pgtest.Proxy) bool {
		for _, peer := range scene.Status(t, p).Cluster.Peers {
			if peer.Name == leaver.Name {
				return !peer.Heard.IsZero()
			}
		}
		return false
	}
	leaver.Terminate(t)
	gone := time.Now()
	for _, p := range rest {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to know that c has left", func() (bool, error) {
			return !counts(p) && !heard(p) && strings.Contains(p.Log(), "cluster member has stopped"), nil
		})
	}
	if d := time.Since(gone); d > bound {
		t.Errorf("known after %v", d)
	}
	for _, p := range rest {
		for _, line := range strings.Split(p.Log(), "\n") {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, " member=c") {
				t.Errorf("%s: %s", p.Name, line)
			}
		}
	}
	leaver.Start(t)
	scene.WaitSatisfiable(t, all...)
	leaver.Kill9(t)
	for _, p := range rest {
		scene.Logged(t, p.Name, p.Log, "cluster member is down")
	}
}
