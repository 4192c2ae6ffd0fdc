package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// TestVotersStandStill: commits that wait for voters which count, and stand still, are told of, and where those voters are.
// Under load a voter is behind for a moment. Who is not in the rule is not named.
func TestVotersStandStill(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	few, none := int64(100), int64(0)
	voter := func(name, node string, behind *int64) admin.QuorumVoter {
		return admin.QuorumVoter{Name: name, Node: node, Standing: admin.Counts, Priority: 1, FlushBehind: behind}
	}
	proxy := voter("proxy_b", "proxy_b", &few)
	proxy.Priority = 0
	heard := []admin.Peer{{Name: "proxy_b", Heard: now, LastHeard: now}}
	gone := []admin.Peer{{Name: "proxy_b", LastHeard: now.Add(-4 * time.Second)}}
	const covered = "the rule has covered no more than 0/2000000 since "
	for name, c := range map[string]struct {
		voter  admin.QuorumVoter
		behind *int64
		since  time.Duration
		peers  []admin.Peer
		want   string
	}{
		"all is covered":           {voter("s1", "proxy_a", &none), &none, 0, heard, ""},
		"under load":               {voter("s1", "proxy_b", &few), &few, 9 * time.Second, heard, ""},
		"a voter stands still":     {voter("s1", "proxy_b", &few), &few, time.Minute, heard, covered + "01:45:40; s1 is 100 B behind"},
		"its proxy has died":       {voter("s1", "proxy_b", &few), &few, 4 * time.Second, gone, covered + "01:46:36; s1 is 100 B behind, as proxy_b said, which is not heard now"},
		"a moment ago":             {voter("s1", "proxy_b", &few), &few, time.Second, gone, ""},
		"another one has":          {voter("s1", "proxy_a", &few), &few, 4 * time.Second, gone, ""},
		"nobody says it is behind": {voter("s1", "proxy_a", &none), &few, time.Minute, heard, covered + "01:45:40; no voter says that it is behind"},
	} {
		q := admin.Quorum{Voters: []admin.QuorumVoter{proxy, c.voter}, Levels: []admin.QuorumLevel{{Position: "write"},
			{Position: "flush", Quorum: 0x2000000, Behind: c.behind, Satisfiable: true}}}
		if c.since > 0 {
			q.Levels[1].Since = now.Add(-c.since)
		}
		got := strings.Join(laggingWarnings(&q, c.peers, now), "|")
		if strings.TrimPrefix(got, admin.CommitsWait) != c.want || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", name, got)
		}
		if q.Levels[1].Satisfiable = false; laggingWarnings(&q, c.peers, now) != nil {
			t.Errorf("%s, and another warning says that commits wait", name)
		}
	}
}

// TestRefusedPrimaryConfirmsNothing: while a primary is refused its commits wait, whatever the rule covers.
func TestRefusedPrimaryConfirmsNothing(t *testing.T) {
	t.Parallel()
	lack := &admin.Lack{Lost: true}
	level := func(ok bool) []admin.QuorumLevel { return []admin.QuorumLevel{{Position: "flush", Satisfiable: ok}} }
	for name, c := range map[string]struct {
		u      admin.Upstream
		levels []admin.QuorumLevel
		want   bool
	}{
		"it streams":                    {admin.Upstream{State: admin.Streaming}, level(true), false},
		"another server is refused":     {admin.Upstream{State: admin.Streaming, Lack: lack}, level(true), false},
		"it is refused":                 {admin.Upstream{State: admin.Connecting, Lack: lack}, level(true), true},
		"it is, and a member sends WAL": {admin.Upstream{State: admin.Streaming, Member: "b", Lack: lack}, level(true), true},
		"without a rule":                {admin.Upstream{State: admin.Connecting, Lack: lack}, nil, true},
		"another system":                {admin.Upstream{State: admin.Disconnected, Stopped: "another system"}, level(true), true},
		"the rule keeps them waiting":   {admin.Upstream{State: admin.Connecting, Lack: lack}, level(false), false},
		"it does not answer":            {admin.Upstream{State: admin.Connecting, LastError: "refused"}, level(true), false},
	} {
		w := unfollowedWarnings(&admin.Status{Upstream: c.u, Quorum: admin.Quorum{Levels: c.levels}})
		if (len(w) == 1) != c.want || c.want && !strings.HasPrefix(w[0], admin.CommitsWait) {
			t.Errorf("%s: %q", name, w)
		}
	}
}
