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

// TestSameName: two sessions of one name are said to be two standbys only while both members are heard. Otherwise the
// session that was left at the silent one is named, and for how long it counts.
func TestSameName(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Second) }
	at := func(name, node string) cluster.Voter {
		v := cluster.Voter{Priority: 1}
		v.Name, v.Node, v.Standing = name, node, ledger.Counts
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
			Votes:   cluster.Status{Rule: c.rule, Voters: []cluster.Voter{at("s1", "proxy_a"), at("s1", "proxy_b"), at("s2", "proxy_b")}},
			Cluster: &Cluster{Links: link.Status{Peers: []link.PeerStatus{c.peer}}}}
		x.Votes.Levels[1].Satisfiable = true
		all := strings.Join(Status(&x).Warnings, "|")
		if !strings.Contains(all, c.want) || strings.Contains(all, advice) != (c.want == advice) || strings.Contains(all, "s2") {
			t.Errorf("%s: %q, want %q", name, all, c.want)
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
