package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestSameName: two sessions of one name are said to be two standbys only while both members are heard, and the older one
// has reported since the other began. Where a member is silent the session that was left there is named, and for how
// long it counts.
func TestSameName(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Second) }
	at := func(name, node string, attached, moved int) cluster.Voter {
		v := cluster.Voter{Priority: 1}
		v.Name, v.Node, v.Standing = name, node, ledger.Counts
		v.Attached, v.Moved = ago(attached), ago(moved)
		return v
	}
	const advice = "give each an application_name of its own"
	for name, c := range map[string]struct {
		rule string
		peer link.PeerStatus
		want string
	}{
		"both are heard":  {"ANY 1 (s1)", link.PeerStatus{Name: "proxy_a", Heard: ago(1), Last: ago(1)}, advice},
		"a closed link":   {"ANY 1 (s1)", link.PeerStatus{Name: "proxy_a", Last: ago(4)}, "s1 is held by its session at proxy_a, which is not heard for 4s: its position counts for another 11s at most"},
		"a silent one":    {"ANY 1 (s1)", link.PeerStatus{Name: "proxy_a", Heard: ago(9), Last: ago(9)}, "not heard for 9s: its position counts for another 6s at most"},
		"for longer":      {"ANY 1 (s1)", link.PeerStatus{Name: "proxy_a", Last: ago(40)}, "for another 0s at most"},
		"of a FIRST rule": {"FIRST 1 (s1)", link.PeerStatus{Name: "proxy_a", Last: ago(4)}, "which is not heard for 4s: its position counts until that proxy is heard again"},
	} {
		x := Snapshot{Config: &config.Config{Name: "proxy_b"}, Now: now, Started: ago(2), Counts: noCounts(),
			Votes:   cluster.Status{Rule: c.rule, Voters: []cluster.Voter{at("s1", "proxy_a", 30, 2), at("s1", "proxy_b", 10, 1), at("s2", "proxy_b", 5, 1)}},
			Cluster: &Cluster{Links: link.Status{Peers: []link.PeerStatus{c.peer}}}}
		x.Votes.Levels[1].Satisfiable = true
		all := strings.Join(Status(&x).Warnings, "|")
		if !strings.Contains(all, c.want) || strings.Contains(all, advice) != (c.want == advice) || strings.Contains(all, "s2") {
			t.Errorf("%s: %q, want %q", name, all, c.want)
		}
	}
}

// TestMovedStandbyIsOne: the standby that has just moved to another proxy is no second one, whichever of the two proxies is
// asked, until its older session reports again.
func TestMovedStandbyIsOne(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		began, moved [2]int // seconds ago
		two          bool
	}{
		"it has moved":            {[2]int{60, 3}, [2]int{11, 1}, false},
		"both report":             {[2]int{60, 3}, [2]int{1, 1}, true},
		"the younger comes first": {[2]int{3, 60}, [2]int{1, 11}, false},
		"and both report":         {[2]int{3, 60}, [2]int{1, 1}, true},
	} {
		var voters []cluster.Voter
		for i, node := range []string{"a", "b"} {
			v := cluster.Voter{Priority: 1}
			v.Name, v.Node, v.Standing = "s1", node, ledger.Counts
			v.Attached = now.Add(-time.Duration(c.began[i]) * time.Second)
			v.Moved = now.Add(-time.Duration(c.moved[i]) * time.Second)
			voters = append(voters, v)
		}
		if w := sameNameWarnings(cluster.Status{Rule: "ANY 1 (s1)", Voters: voters}, nil, now); (len(w) > 0) != c.two {
			t.Errorf("%s: %q", name, w)
		}
	}
}

// TestStandings: a voter that the rule does not name is said not to be in it, and one at a silent member to be there.
func TestStandings(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		rule, node string
		priority   int
		standing   ledger.Standing
		want       string
	}{
		"in the rule":                {"ANY 1 (s1)", "a", 1, ledger.Counts, "counts"},
		"not in it":                  {"ANY 1 (s1)", "a", 0, ledger.Counts, "not in the rule"},
		"no rule":                    {"", "a", 0, ledger.Counts, "counts"},
		"not in it, and not counted": {"ANY 1 (s1)", "a", 0, ledger.Catchup, "catching up"},
		"no report":                  {"ANY 1 (s1)", "a", 1, ledger.NoReport, "no report on this timeline"},
		"no report, silent":          {"ANY 1 (s1)", "b", 1, ledger.NoReport, "at b, which is not heard"},
		"held":                       {"FIRST 1 (s1)", "b", 1, ledger.Held, "held: its node is silent"},
	} {
		v := cluster.Voter{Priority: c.priority}
		v.Name, v.Node, v.Standing = "s1", c.node, c.standing
		x := Snapshot{Config: &config.Config{Name: "a"}, Now: now, Started: now, Counts: noCounts(),
			Votes:   cluster.Status{Rule: c.rule, Voters: []cluster.Voter{v}},
			Cluster: &Cluster{Links: link.Status{Peers: []link.PeerStatus{{Name: "b", Last: now.Add(-time.Second)}}}}}
		if got := Status(&x).Quorum.Voters[0].Standing; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
