package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// moved reports whether a token is there, and takes it.
func moved(n *Node) bool {
	select {
	case <-n.CoverageMoved():
		return true
	default:
		return false
	}
}

// TestCoverage: what was covered stays covered on its timeline, nothing is before the rule has covered it, and without
// a rule everything is.
func TestCoverage(t *testing.T) {
	store := newFakeStore(0x5000)
	n := newNode(t, "ANY 1 (s1, s2)", store)
	want := func(what string, timeline lsn.TimelineID, at lsn.LSN) {
		t.Helper()
		if c := n.Coverage(); c.Timeline != timeline || c.At != at {
			t.Errorf("%s: covered up to %s of timeline %s, expected %s of %s", what, c.At, c.Timeline, at, timeline)
		}
	}
	n.WantCoverage(true)
	if !moved(n) {
		t.Error("no token for who begins to want them")
	}
	want("before a report", 1, lsn.Invalid)
	s1, s2 := n.Attach("s1"), n.Attach("S2")
	moved(n)
	report(n, s1, 1, 0x4000)
	if !moved(n) {
		t.Error("no token for a report")
	}
	report(n, s2, 1, 0x3000)
	want("two report", 1, 0x4000)
	report(n, s1, 1, 0x5000)
	want("all that was reported before the rule", 1, 0x5000)
	n.saveKnown()
	n.Gone(s1)
	want("the furthest has left", 1, 0x5000)
	store.move(2, 0x6000)
	want("another timeline", 2, lsn.Invalid)
	report(n, s2, 2, 0x6000)
	n.Reportable() // whoever asks first
	if !moved(n) {
		t.Error("no token for what the reporter has found")
	}
	want("it reports there", 2, 0x6000)
	if err := n.DropRule(); err != nil {
		t.Fatal(err)
	}
	n.Coverage()
	n.saveKnown()
	want("no rule", 2, ledger.Max)
	if err := n.SetRule(vote.RuleText{Names: "s3"}); err != nil {
		t.Fatal(err)
	}
	want("another rule", 2, lsn.Invalid)
}

// TestCoverageIsFreeUnwanted: nobody who wants no tokens gets any.
func TestCoverageIsFreeUnwanted(t *testing.T) {
	n := newNode(t, "s1", newFakeStore(0x5000))
	report(n, n.Attach("s1"), 1, 0x4000)
	if n.Reportable(); moved(n) {
		t.Error("a token that nobody wants")
	}
}

// TestCoverageVotes: a name that a rule counts votes, by its name or by *; each change has a generation of its own.
func TestCoverageVotes(t *testing.T) {
	n := newNode(t, "ANY 1 (s1, s2)", newFakeStore(0x5000))
	first := n.Coverage()
	for name, votes := range map[string]bool{"s1": true, "S2": true, "s3": false, "": false} {
		if first.Votes(name) != votes {
			t.Errorf("%q votes: %v", name, !votes)
		}
	}
	if again := n.Coverage(); again.Generation != first.Generation {
		t.Error("another generation of the same rule")
	}
	for rule, votes := range map[string]bool{"s2, s3": true, "s2, *": true, "s2": false} {
		was := n.Coverage().Generation
		if err := n.SetRule(vote.RuleText{Names: rule}); err != nil {
			t.Fatal(err)
		}
		if c := n.Coverage(); c.Votes("s3") != votes || c.Generation == was {
			t.Errorf("%s: s3 votes: %v, generation %d after %d", rule, c.Votes("s3"), c.Generation, was)
		}
	}
}

// TestCoverageBeforeCompared: in a cluster nothing is known until another member was heard (ruling R9).
func TestCoverageBeforeCompared(t *testing.T) {
	for _, rule := range []string{"", "s1"} {
		n, err := New(Options{
			Name: "proxy", Rule: vote.RuleText{Names: rule}, Store: newFakeStore(0x5000), Members: []string{"other"},
		})
		if err != nil {
			t.Fatal(err)
		}
		report(n, n.Attach("s1"), 1, 0x4000)
		if c := n.Coverage(); c.At != lsn.Invalid {
			t.Errorf("rule %q: covered up to %s before the rules were compared", rule, c.At)
		}
	}
}
