package ledger

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
)

// TestEvaluateAllocatesNothing: it runs for each report of a standby, on the way of a commit.
func TestEvaluateAllocatesNothing(t *testing.T) {
	for name, d := range map[string]vote.RuleText{
		"any":   {Names: "ANY 2 (s1, s2, s3, b)"},
		"first": {Names: "FIRST 2 (s3, s1, s2)"},
		"zones": {Names: "ANY 2 (s1, s2, s3)", Spread: "ANY 2 (east, west)", Zones: []vote.Zone{
			{Name: "east", Voters: []string{"s1", "s2"}}, {Name: "west", Voters: []string{"s3"}},
		}},
	} {
		w := newWorld(t, "", "a", "b")
		for _, n := range []string{"a", "b"} {
			w.start(n, vote.Rule{RuleText: d, Generation: 1, Established: true})
		}
		w.attach("a", "s1")
		w.attach("a", "s2")
		w.attach("b", "s3")
		w.attach("b", "b")
		for _, s := range []string{"a/s1", "a/s2", "b/s3", "b/b"} {
			w.ack(s[:1], s[2:], 50)
		}
		var lim Evaluation
		l := w.nodes["a"]
		if n := testing.AllocsPerRun(100, func() { l.Evaluate(&lim, w.now, system, 1) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if fresh := l.Evaluated(w.now, system, 1); lim.Progress != fresh.Progress || lim.Flush != 50 || len(lim.Rules) != 1 {
			t.Errorf("%s: %+v, afresh %+v", name, lim, fresh)
		}
	}
}
