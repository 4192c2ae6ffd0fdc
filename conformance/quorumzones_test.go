package conformance

import (
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// A rule over zones, set by SIGHUP: what two standbys of one site have is not enough any more, and the
// zone that is missing is named, whether its standby is behind or gone.
func TestZones(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1, s2, s3)", 3)
	s.waitStates(t, "s1 quorum 1", "s2 quorum 1", "s3 quorum 1")
	resume := pause(t, s.standbys[2])
	s.begin(t, "on").released(t)
	s.proxy.Replace(t, "synchronous_standby_names", "synchronous_standby_zones:\n  rule: ANY 2 (*)\n"+
		"  zones: {west: [s3], east: [S1, s2]}\nsynchronous_standby_names")
	s.proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, time.Minute, "the rule over zones", func() (bool, error) {
		return status(t, s.proxy).Quorum.Spread == "ANY 2 (*)", nil
	})
	c := s.begin(t, "on")
	s.held(t, c, flushOf, "s1", "s2")
	east, west := s.zones(t)
	if east.Flush < c.at || east.Candidates != 2 || west.Flush >= c.at || isZero(west.Behind) || west.Candidates != 1 {
		t.Errorf("east %+v, west %+v", east, west)
	}
	resume()
	c.released(t)

	s.standbys[2].Stop(t, pgtest.Fast)
	c = s.begin(t, "on")
	s.held(t, c, flushOf, "s1", "s2")
	s.waitWarning(t, "the rule over zones, ANY 2 (*): nobody counts in west")
	s.standbys[2].Start(t)
	c.released(t)
}

func (s *quorumSite) zones(t *testing.T) (east, west admin.QuorumZone) {
	t.Helper()
	all := status(t, s.proxy).Quorum.Zones
	if len(all) != 2 || all[0].Name != "east" || all[1].Name != "west" {
		t.Fatalf("zones %+v", all)
	}
	return all[0], all[1]
}
