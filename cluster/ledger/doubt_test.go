package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// A session that is asked whether its standby has left it still holds the voter of its name. Everybody then says so,
// and nothing counts as covered by that session alone. An answer ends that, an older report does not.
func TestDoubt(t *testing.T) {
	w := newWorld(t, "ANY 1 (s)", "a", "b")
	w.attach("a", "s")
	w.ack("a", "s", 50)
	began := w.now.Add(time.Second)
	silent := vote.Silence{Since: w.now.UTC(), Host: "10.0.0.7"}
	doubt := func() bool {
		_, news := w.nodes["a"].Doubt(w.keys["a/s"], began, silent)
		w.gossip()
		return news
	}
	free := func(node string) lsn.LSN {
		l := w.nodes[node].Evaluated(w.now, system, 1)
		held := l.Rules[0].Voters[0].Held
		if (l.Rules[0].Free.Flush == 0) != strings.Contains(held, "an older session from 10.0.0.7, silent since ") {
			t.Errorf("%s says %q, and covers %s without what is held", node, held, l.Rules[0].Free.Flush)
		}
		return l.Rules[0].Free.Flush
	}
	if !doubt() || doubt() {
		t.Error("it is not news once")
	}
	w.ack("a", "s", 50) // said before, though handled now
	for _, node := range w.names {
		if free(node) != 0 {
			t.Errorf("%s: a voter that is held covers %s", node, free(node))
		}
		w.want(node, "50 50 50") // what it has, it has
	}
	w.now = began.Add(time.Second)
	w.ack("a", "s", 60)
	for _, node := range w.names {
		if free(node) != 60 {
			t.Errorf("%s: after the answer %s", node, free(node))
		}
	}
	if doubt() {
		t.Error("a doubt of before its answer is news")
	}
	if _, news := w.nodes["a"].Doubt(99, w.now, silent); news {
		t.Error("a session that there is not is news")
	}
}

// Under FIRST a voter that is held holds everything; under ANY only if the others are too few.
func TestWhoIsHeldHoldsTheRest(t *testing.T) {
	for rule, want := range map[string]lsn.LSN{
		"FIRST 1 (s, o)": 0, "FIRST 1 (o, s)": 40, "ANY 1 (s, o)": 40, "ANY 2 (s, o)": 0,
	} {
		w := newWorld(t, rule, "a", "b")
		w.attach("a", "s")
		w.attach("b", "o")
		w.ack("a", "s", 50)
		w.ack("b", "o", 40)
		w.nodes["a"].Doubt(w.keys["a/s"], w.now.Add(time.Second), vote.Silence{Since: w.now.UTC()})
		w.gossip()
		for _, node := range w.names {
			if l := w.nodes[node].Evaluated(w.now, system, 1); l.Rules[0].Free.Flush != want {
				t.Errorf("%s at %s: %s without what is held, want %s", rule, node, l.Rules[0].Free.Flush, want)
			}
		}
	}
}
