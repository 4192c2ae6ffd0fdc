package ledger

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestAnotherHistory: two servers were promoted to one number, and b follows the other one. What its standbys and its
// store have there says nothing about a's WAL; under FIRST nobody knows then who comes first.
func TestAnotherHistory(t *testing.T) {
	for rule, strange := range map[string]string{"ANY 2 (s1, s2)": "0 0 0", "ANY 2 (s1, b)": "0 0 0", "FIRST 1 (s2, s1)": "0 0 0"} {
		w := newWorld(t, rule, "a", "b")
		for _, n := range []string{"a", "b"} {
			w.nodes[n].SetLine(11, 0)
		}
		w.attach("a", "s1")
		w.attach("b", "s2")
		w.attach("b", "b")
		w.ack("a", "s1", 40)
		w.ack("b", "s2", 50)
		w.ack("b", "b", 40)
		covered := map[string]string{"ANY 2 (s1, s2)": "40 40 40", "ANY 2 (s1, b)": "40 40 0", "FIRST 1 (s2, s1)": "50 50 50"}[rule]
		w.want("a", covered)
		for _, line := range []uint64{12, 0} { // another one; it has not said yet which
			w.nodes["b"].SetLine(line, 0)
			w.gossip()
			w.want("a", strange)
		}
		w.nodes["a"].SetLine(11, 1)
		w.nodes["b"].SetLine(11, 2) // promoted at one position
		w.gossip()
		w.want("a", strange)
		w.nodes["b"].SetLine(11, 0) // its store was begun later
		w.gossip()
		w.want("a", covered)
		w.nodes["a"].SetLine(12, 0)
		w.nodes["b"].SetLine(12, 0)
		w.gossip()
		w.want("a", covered)
	}
}

// TestLeftBehind: a member that has stayed on the timeline before has no votes on this one, and holds up nobody.
func TestLeftBehind(t *testing.T) {
	w := newWorld(t, "FIRST 1 (s2, s1)", "a", "b")
	w.nodes["a"].SetLine(12, 0)
	w.nodes["b"].SetLine(11, 0)
	w.attach("b", "s2")
	w.ack("b", "s2", 50) // on timeline 1
	w.attach("a", "s1")
	w.nodes["a"].Ack(w.now, Ack{
		Incarnation: w.keys["a/s1"], Timeline: 2, Received: 60, Sent: 60, Progress: lsn.Progress{Write: 60, Flush: 60, Apply: 60}, Streaming: true,
	})
	if l := w.nodes["a"].Limits(w.now, system, 2); l.Flush != 60 {
		t.Errorf("%+v", l)
	}
}
