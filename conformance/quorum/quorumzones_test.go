package quorum

import (
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A rule over zones, set by SIGHUP: two standbys of one site are not enough any more. The zone that is missing is
// named, whether its standby is behind or gone.
func TestZones(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1, s2, s3)", 3)
	s.WaitStates(t, "s1 quorum 1", "s2 quorum 1", "s3 quorum 1")
	resume := scene.Pause(t, s.Standbys[2])
	s.Begin(t, "on").Released(t)
	s.Proxy.Replace(t, "synchronous_standby_names", "synchronous_standby_zones:\n  rule: ANY 2 (*)\n"+
		"  zones: {west: [s3], east: [S1, s2]}\nsynchronous_standby_names")
	s.Proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, time.Minute, "the rule over zones", func() (bool, error) {
		return scene.Status(t, s.Proxy).Quorum.Spread == "ANY 2 (*)", nil
	})
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1", "s2")
	east, west := s.Zones(t)
	if east.Flush < c.At || east.Candidates != 2 || west.Flush >= c.At || isZero(west.Behind) || west.Candidates != 1 {
		t.Errorf("east %+v, west %+v", east, west)
	}
	resume()
	c.Released(t)

	s.Standbys[2].Stop(t, pgtest.Fast)
	c = s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1", "s2")
	s.WaitWarning(t, "the rule over zones, ANY 2 (*): nobody counts in west")
	s.Standbys[2].Start(t)
	c.Released(t)
}
