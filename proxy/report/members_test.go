package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestOtherWALAmidALoss: where WAL was given up, a member with other WAL has not been told, or this proxy has not. Nobody
// is asked to make a store anew, which may be the right one.
func TestOtherWALAmidALoss(t *testing.T) {
	t.Parallel()
	lost := []admin.GivenUp{{Timeline: 2, From: 0x3000000, To: 0x4000000}}
	const anew, accept = "make the store of the other member anew", "accept-timeline 2 there, and restart that one"
	for _, c := range []struct {
		timeline lsn.TimelineID
		differs  lsn.LSN
		givenUp  []admin.GivenUp
		want     string
	}{
		{2, 0x3000100, lost, accept}, {2, 0x5000000, lost, accept}, {2, 0x3000000, lost, anew}, {2, 0x3000100, nil, anew},
		{3, 0x5000000, lost, anew},
	} {
		s := &admin.Status{
			Store: admin.Store{Timeline: c.timeline}, GivenUp: c.givenUp,
			Cluster: &admin.Cluster{Peers: []admin.Peer{{Name: "b", Differs: c.differs}}},
		}
		got := strings.Join(memberWarnings(s), "\n")
		if !strings.Contains(got, c.want) || strings.Contains(got, anew) != (c.want == anew) {
			t.Errorf("differs below %s, %+v: %q", c.differs, c.givenUp, got)
		}
	}
}

// TestStrangersWarnings: a proxy that only another member knows is named, with the member and the remedy.
func TestStrangersWarnings(t *testing.T) {
	t.Parallel()
	got := strangersWarnings([]cluster.Stranger{{Name: "c", KnownBy: "a"}})
	if len(got) != 1 || !strings.HasPrefix(got[0], "cluster.members of a has c, and this proxy's has not: ") ||
		!strings.HasSuffix(got[0], "restart this proxy with the same list") {
		t.Errorf("%q", got)
	}
	if got := strangersWarnings(nil); got != nil {
		t.Errorf("without strangers: %q", got)
	}
}

// TestUnreachedIsNotOld: a member that could not be reached, as it was away, is not said to be of an older version.
func TestUnreachedIsNotOld(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	for why, want := range map[string]string{
		"dial tcp 10.0.0.2:7946: connect: connection refused": "which is heard and was not reached: dial tcp",
		"tls: no application protocol":                        "which may be of an older version: tls",
	} {
		s := &admin.Status{Now: now, StartedAt: now.Add(-time.Hour), Cluster: &admin.Cluster{Peers: []admin.Peer{{Name: "b", Heard: now, Slots: why}}}}
		if got := strings.Join(sharedSlotWarnings(s), "|"); !strings.Contains(got, want) {
			t.Errorf("%s: %q", why, got)
		}
	}
}
