package ledger

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRetain: WAL that a store voted for is kept until standbys have it, wherever in the cluster they are attached. A
// standby with other WAL is no reason to let it go.
func TestRetain(t *testing.T) {
	w := newWorld(t, "ANY 2 (a, s1)", "a", "b")
	a := w.nodes["a"]
	a.Speaks("b", 2)
	want := func(what string, until int, at lsn.LSN) {
		t.Helper()
		if got := a.Retain(w.now, system, 1, until, false); got != at {
			t.Errorf("%s, %d standbys: %s, want %s", what, until, got, at)
		}
	}
	want("nobody is there", 0, lsn.Invalid)
	want("nobody is there", 1, Everything)
	w.attach("b", "s1")
	w.ack("b", "s1", 50)
	want("one elsewhere", 1, 50)
	want("one elsewhere", 2, Everything)
	w.attach("a", "x")
	w.ack("a", "x", 70) // any standby, named by the rule or not
	want("one here", 1, 70)
	want("one here", 2, 50)
	w.end("a", "x")
	w.end("b", "s1")
	want("they have it for ever", 2, 50)
	w.attach("b", "S1")
	w.ack("b", "S1", 20) // a new session
	want("it had more", 2, 50)
	w.ack("b", "S1", 90)
	want("it goes on", 2, 70)
	if got := a.Retain(w.now, system, 2, 1, false); got != Everything {
		t.Errorf("on a new timeline: %s", got)
	}

	nothing := func(what string, change func(w *world)) {
		t.Helper()
		w := newWorld(t, "ANY 2 (a, s1)", "a", "b")
		a := w.nodes["a"]
		a.Speaks("b", 2)
		w.attach("b", "b")
		w.attach("b", "s1")
		change(w)
		if got := a.Retain(w.now, system, 1, 1, false); got != Everything {
			t.Errorf("%s: %s", what, got)
		}
	}
	ack := func(w *world, name string, x Ack) {
		x.Incarnation, x.Received, x.Sent, x.Streaming = w.keys["b/"+name], max(x.Sent, 1), max(x.Sent, 1), true
		w.nodes["b"].Ack(w.now, x)
		w.gossip()
	}
	nothing("a store", func(w *world) { w.ack("b", "b", 50) })
	nothing("pg_receivewal", func(w *world) { ack(w, "s1", Ack{Timeline: 1, Sent: 90, Progress: lsn.Progress{Write: 90, Flush: 90}}) })
	nothing("more than it was sent", func(w *world) {
		ack(w, "s1", Ack{Timeline: 1, Progress: lsn.Progress{Write: 90, Flush: 90, Apply: 90}})
	})
	nothing("another timeline", func(w *world) {
		ack(w, "s1", Ack{Timeline: 2, Sent: 90, Progress: lsn.Progress{Write: 90, Flush: 90, Apply: 90}})
	})
	nothing("another history", func(w *world) { w.nodes["b"].SetHistory(2, never); w.ack("b", "s1", 90) })
	nothing("not known yet", func(w *world) { w.nodes["b"].SetHistory(1, vote.Fingerprint{}); w.ack("b", "s1", 90) })
	nothing("two holders", func(w *world) { w.nodes["a"].Contest("b", true); w.ack("b", "s1", 90) })
	nothing("a member that can't be asked", func(w *world) { w.nodes["a"].Speaks("b", 1); w.ack("b", "s1", 90) })
}

// TestRetainOnlyVotes: a store that no rule counts keeps nothing for votes. One that was counted keeps it until the new
// rule covers what rests on its vote.
func TestRetainOnlyVotes(t *testing.T) {
	w := newWorld(t, "ANY 1 (s1, *)", "a", "b")
	a := w.nodes["a"]
	want := func(what string, votes bool) {
		t.Helper()
		if got := a.Votes(w.now); got != votes {
			t.Errorf("%s: %v", what, got)
		}
		if kept := a.Retain(w.now, system, 1, 1, false) != lsn.Invalid; kept != votes {
			t.Errorf("%s: kept %v", what, kept)
		}
	}
	want("a rule over standbys", false)
	if a.Retain(w.now, system, 1, 1, true) == lsn.Invalid {
		t.Error("nothing is kept while rules are not known")
	}
	b := w.nodes["b"]
	agree := func(name string, at lsn.LSN) {
		t.Helper()
		w.attach("b", name)
		w.ack("b", name, at)
		if !b.Establish(b.Evaluated(w.now, system, 1), 1, 1000) {
			t.Fatal("not settled")
		}
		w.gossip()
	}
	w.setRule("b", "ANY 1 (A, s1)", 10)
	agree("s1", 100)
	want("another member's rule", true)
	w.setRule("b", "ANY 1 (s2)", 50)
	want("its commits may rest on the one before", true)
	agree("s2", 100)
	want("they do not any more", false)
}
