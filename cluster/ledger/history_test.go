package ledger

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestAnotherHistory: two servers were promoted to one number, and b follows the other one. What its standbys and its
// store have there says nothing about a's WAL; under FIRST nobody knows then who comes first.
func TestAnotherHistory(t *testing.T) {
	for rule, strange := range map[string]string{"ANY 2 (s1, s2)": "0 0 0", "ANY 2 (s1, b)": "0 0 0", "FIRST 1 (s2, s1)": "0 0 0"} {
		w := newWorld(t, rule, "a", "b")
		for _, n := range []string{"a", "b"} {
			w.nodes[n].SetHistory(11, never)
		}
		w.attach("a", "s1")
		w.attach("b", "s2")
		w.attach("b", "b")
		w.ack("a", "s1", 40)
		w.ack("b", "s2", 50)
		w.ack("b", "b", 40)
		covered := map[string]string{"ANY 2 (s1, s2)": "40 40 40", "ANY 2 (s1, b)": "40 40 0", "FIRST 1 (s2, s1)": "50 50 50"}[rule]
		w.want("a", covered)
		for _, history := range []uint64{12, 0} { // another one; it has not said yet which
			w.nodes["b"].SetHistory(history, never)
			w.gossip()
			w.want("a", strange)
		}
		w.nodes["a"].SetHistory(11, vote.Fingerprint{Hash: 1})
		w.nodes["b"].SetHistory(11, vote.Fingerprint{Hash: 2}) // promoted at one position
		w.gossip()
		w.want("a", strange)
		w.nodes["b"].SetHistory(11, never) // its store was begun later
		w.gossip()
		w.want("a", covered)
		w.nodes["a"].SetHistory(12, never)
		w.nodes["b"].SetHistory(12, never)
		w.gossip()
		w.want("a", covered)
	}
}

// TestUnknownIsNotEqual: what one of two members does not know yet of how its timeline begins is no reason to count what
// the other one says, also where neither knows it. Of a member of message version 1, which can't say "not yet", it is
// taken as that release did.
func TestUnknownIsNotEqual(t *testing.T) {
	notYet, one := vote.Fingerprint{}, vote.Fingerprint{Hash: 1}
	for name, c := range map[string]struct {
		ownHistory, history uint64
		own, other          vote.Fingerprint
		version             int
		want                Standing
	}{
		"both know":                 {11, 11, one, one, 2, Counts},
		"neither will ever":         {11, 11, never, never, 2, Counts},
		"the own will not":          {11, 11, never, one, 2, Counts},
		"it does not know yet":      {11, 11, one, notYet, 2, NotCompared},
		"we do not know yet":        {11, 11, notYet, one, 2, NotCompared},
		"neither knows yet":         {11, 11, notYet, notYet, 2, NotCompared},
		"neither knows its history": {0, 0, never, never, 2, NotCompared},
		"its history is not known":  {11, 0, never, never, 2, NotCompared},
		"the own is not known":      {0, 11, never, never, 2, NotCompared},
		"another history":           {11, 12, never, never, 2, OtherHistory},
		"another beginning":         {11, 11, one, vote.Fingerprint{Hash: 2}, 2, OtherHistory},
		"version 1 has no flag":     {11, 11, one, notYet, 1, Counts},
		"version 1, ours not yet":   {11, 11, notYet, one, 1, NotCompared},
		"version 1, no history":     {0, 0, never, notYet, 1, NotCompared},
	} {
		w := newWorld(t, "ANY 1 (s2)", "a", "b")
		w.attach("b", "s2")
		a := w.nodes["a"]
		a.Speaks("b", c.version)
		a.SetHistory(c.ownHistory, c.own)
		w.nodes["b"].SetHistory(c.history, c.other)
		w.ack("b", "s2", 50)
		if got := a.Views(w.now, system, 1)[0].Standing; got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if counts := a.Evaluated(w.now, system, 1).Flush == 50; counts != (c.want == Counts) {
			t.Errorf("%s: counts %v", name, counts)
		}
	}
}

// TestLeftBehind: a member that has stayed on the timeline before has no votes on this one, and holds up nobody.
func TestLeftBehind(t *testing.T) {
	w := newWorld(t, "FIRST 1 (s2, s1)", "a", "b")
	w.nodes["a"].SetHistory(12, never)
	w.nodes["b"].SetHistory(11, never)
	w.attach("b", "s2")
	w.ack("b", "s2", 50) // on timeline 1
	w.attach("a", "s1")
	w.nodes["a"].Ack(w.now, Ack{
		Incarnation: w.keys["a/s1"], Timeline: 2, Received: 60, Sent: 60, Progress: lsn.Progress{Write: 60, Flush: 60, Apply: 60}, Streaming: true,
	})
	if l := w.nodes["a"].Evaluated(w.now, system, 2); l.Flush != 60 {
		t.Errorf("%+v", l)
	}
}
