package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestVotersAway: voters that the rule does without are named, with how many more may go. While commits wait another
// warning says so, and shortly after the start voters are on their way.
func TestVotersAway(t *testing.T) {
	t.Parallel()
	counts := func(name string) admin.QuorumVoter {
		return admin.QuorumVoter{Name: name, Standing: admin.Counts, Priority: 1}
	}
	away := func(name string) admin.QuorumVoter {
		return admin.QuorumVoter{Name: name, Standing: string(cluster.Absent), Priority: 1}
	}
	other := admin.QuorumVoter{Name: "x", Standing: "not in the rule"}
	const tail = "; commits go on without them, and wait once "
	for name, c := range map[string]struct {
		rule   string
		voters []admin.QuorumVoter
		want   string
	}{
		"no rule":       {"", []admin.QuorumVoter{away("s1")}, ""},
		"all are there": {"ANY 1 (s1, S2)", []admin.QuorumVoter{counts("s1"), counts("s2"), other}, ""},
		"one is away":   {"ANY 1 (s1, S2)", []admin.QuorumVoter{counts("s1"), away("s2"), other}, "s2 (not attached anywhere)" + tail + "1 more is lost"},
		"one of three":  {"ANY 1 (s1, s2, s3)", []admin.QuorumVoter{counts("s1"), away("s2"), counts("s3")}, "s2 (not attached anywhere)" + tail + "2 more is lost"},
		"two of three":  {"FIRST 1 (s1, s2, s3)", []admin.QuorumVoter{away("s1"), {Name: "s2", Standing: "catching up", Priority: 2}, counts("s3")}, "s1 (not attached anywhere), s2 (catching up)" + tail + "1 more is lost"},
		"it has moved":  {"ANY 1 (s1)", []admin.QuorumVoter{{Name: "s1", Standing: "its node is silent", Priority: 1}, counts("s1")}, ""},
		"whoever comes": {"ANY 1 (*)", []admin.QuorumVoter{counts("s1")}, ""},
	} {
		q := admin.Quorum{Rule: c.rule, Voters: c.voters, Levels: []admin.QuorumLevel{{Position: "write"}, {Position: "flush", Satisfiable: true}}}
		if got := strings.Join(awayWarnings(&q, time.Hour), "|"); strings.TrimPrefix(got, admin.VotersAway) != c.want || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", name, got)
		}
		if w := awayWarnings(&q, time.Second); w != nil {
			t.Errorf("%s, a moment after the start: %q", name, w)
		}
		q.Spread = "ANY 2 (*)"
		if got := strings.Join(awayWarnings(&q, time.Hour), "|"); c.want != "" && !strings.Contains(got, "and may wait once") {
			t.Errorf("%s, by zones: %q", name, got)
		}
		q.Levels[1].Satisfiable = false
		if w := awayWarnings(&q, time.Hour); w != nil {
			t.Errorf("%s, and commits wait: %q", name, w)
		}
	}
}

// TestWithheld: that commits go on is not said while the member that tells the primary covers less than this proxy.
func TestWithheld(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	x := Snapshot{
		Config: &config.Config{Name: "a", DataDir: "/d"}, Started: now.Add(-time.Hour), Now: now,
		Counts: proxy.Counts{RefusedBy: make([]int64, len(proxy.Reasons()))},
		Votes:  cluster.Status{Rule: "ANY 1 (s1)", Levels: [3]cluster.Level{1: {Satisfiable: true}}},
	}
	x.Stream.Member = "b"
	says := func() string { return strings.Join(Status(&x).Warnings, "|") }
	if got := says(); !strings.Contains(got, "commits go on without them") || strings.Contains(got, "member b") {
		t.Errorf("%q", got)
	}
	x.Withheld = true
	if got := says(); strings.Contains(got, "commits go on") || !strings.Contains(got, admin.CommitsWait+"member b, ") {
		t.Errorf("%q", got)
	}
}
