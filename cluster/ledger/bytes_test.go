package ledger

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestVotesNameTheirBytes: what a member reports counts up to where its WAL was found equal to ours, and not at all where
// it was found to be other WAL (ruling R32). A member that can't say it counts as in the release before.
func TestVotesNameTheirBytes(t *testing.T) {
	for rule, counts := range map[string]string{"ANY 1 (s2)": "50 50 50", "ANY 1 (b)": "50 50 0", "FIRST 1 (s2, s1)": "50 50 50"} {
		w := newWorld(t, rule, "a", "b")
		a := w.nodes["a"]
		a.Speaks("b", 2)
		w.attach("a", "s1")
		w.attach("b", "s2")
		w.attach("b", "b")
		w.ack("a", "s1", 70)
		w.other["b"] = 1
		w.ack("b", "b", 50)
		w.ack("b", "s2", 50)
		w.want("a", "0 0 0")
		if got := a.Views(w.now, system, 1)[0].Standing; got != OtherBytes || !a.Differs("b") {
			t.Errorf("%s: %s", rule, got)
		}
		a.Speaks("b", 2) // it comes again, as before
		w.want("a", "0 0 0")
		w.gossip()
		w.want("a", "0 0 0")
		w.other["b"] = 0 // its store was made anew
		w.end("b", "b")
		w.attach("b", "b")
		w.ack("b", "b", 50)
		w.ack("b", "s2", 51)
		if a.Differs("b") {
			t.Errorf("%s: still another history: %+v", rule, a.Bytes())
		}
		if rule != "ANY 1 (b)" {
			counts = "51 51 51"
		}
		w.want("a", counts)

		a.Speaks("b", 2)
		w.want("a", "0 0 0") // not compared yet
		if got := a.Views(w.now, system, 1)[0].Standing; got != NotCompared {
			t.Errorf("%s: %s", rule, got)
		}
		w.gossip()
		w.want("a", counts)
		a.Speaks("b", 1)
		w.other["b"] = 1
		w.gossip()
		w.want("a", counts)
	}
}

// TestUncomparedIsAtZeroUnderFirst: a member of lower priority than the rule needs holds up nobody, although its WAL is not
// known to be ours.
func TestUncomparedIsAtZeroUnderFirst(t *testing.T) {
	w := newWorld(t, "FIRST 1 (s1, s2)", "a", "b")
	w.nodes["a"].Speaks("b", 2)
	w.other["b"] = 1
	w.attach("a", "s1")
	w.attach("b", "s2")
	w.ack("a", "s1", 70)
	w.ack("b", "s2", 50)
	w.want("a", "70 70 70")
	w.end("a", "s1")
	w.want("a", "0 0 0")
}

// TestVotesUpToWhatIsEqual: a report beyond what was compared counts up to that.
func TestVotesUpToWhatIsEqual(t *testing.T) {
	w := newWorld(t, "ANY 1 (s2)", "a", "b")
	a := w.nodes["a"]
	a.Speaks("b", 2)
	w.attach("b", "s2")
	w.ack("b", "s2", 40)
	w.want("a", "40 40 40")
	w.sent = 2000 // at b, and a has not received it yet
	w.nodes["b"].Ack(w.now, Ack{
		Incarnation: w.keys["b/s2"], Timeline: 1, Received: 2000, Sent: 2000,
		Progress: lsn.Progress{Write: 1500, Flush: 1500, Apply: 1500}, Streaming: true,
		Bytes: lsn.Print{Timeline: 1, LSN: 2000, Sum: w.sum("b", 2000)},
	})
	w.sent = 1600
	w.gossip()
	w.want("a", "1000 1000 1000")
	w.sent = 2000
	w.gossip()
	w.want("a", "1500 1500 1500")
}
