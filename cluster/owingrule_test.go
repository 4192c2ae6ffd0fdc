package cluster

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRuleEditedAfterAPowerLoss: the rule was edited while this proxy was down, whose store owes what may have been
// reported. The new rule begins behind that. What rests on the rule before is not proven by the new one's voter, nor by
// ends that the operator gives, unless they are of those that may have it.
func TestRuleEditedAfterAPowerLoss(t *testing.T) {
	dir, store := t.TempDir(), newFakeStore(100)
	n := openNode(t, dir, "ANY 1 (s1)", store)
	report(n, n.Attach("s1"), 1, 100)
	wantLimits(t, n, 100, 100, 100)
	n.saveKnown()
	store.p.Owed, store.p.Bound = 180, 180
	n = openNode(t, dir, "ANY 1 (s2)", store)
	if r := n.ledger.State().Rule; r.From != 180 || r.Established || r.Before.Names != "ANY 1 (s1)" {
		t.Errorf("%+v", r)
	}
	report(n, n.Attach("s2"), 1, 100)
	if e, err := n.Fence(t.Context(), 1); err != nil || e.Owed != 180 {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := n.ending(7, 1, store.Positions()).Final(); err == nil {
		t.Error("the fence has an end")
	}
	for name, c := range map[string]struct {
		ends   map[string]lsn.LSN
		proven bool
	}{
		"its end is given":                   {map[string]lsn.LSN{"s2": 100}, false},
		"the old voter's end is given too":   {map[string]lsn.LSN{"s2": 100, "s1": 100}, true},
		"the old voter has more":             {map[string]lsn.LSN{"s2": 100, "s1": 150}, false},
		"the end of this proxy is given too": {map[string]lsn.LSN{"s2": 100, "proxy": 100}, true},
	} {
		v, ok := n.Tail(tail.Ask{Candidate: vote.Fold("s2"), Ends: c.ends}).Of("s2")
		if proven := v.State != tail.NotProven; !ok || proven != c.proven {
			t.Errorf("%s: %s, %s", name, v.State, strings.Join(v.Why, "; "))
		}
	}
}
