package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestUnheardComesLast: that no other member has been heard is true of every start. What an operator has to mend comes
// before it.
func TestUnheardComesLast(t *testing.T) {
	n := &Node{o: Options{Name: "a"}}
	l := ledger.Evaluation{Holds: []ledger.Hold{{Why: ledger.Uncompared}, {Why: ledger.Fenced, Node: "a"}}}
	l.Rules = []ledger.RuleInUse{{Nodes: []string{"a"}, Result: quorum.Result{Candidates: 1}}}
	l.Rules[0].Rule.Names = "ANY 2 (s1, s2)"
	const want = "this node is fenced on this timeline (a); ANY 2 (s1, s2) has 1 candidate; no other member has been heard since the start"
	if ok, why := n.satisfiable(l, flush); ok || why != want {
		t.Errorf("%q, want %q", why, want)
	}
	l.Holds, l.Rules[0].Result.Satisfied = l.Holds[:1], true
	l.Rules[0].Result.Positions = lsn.Progress{Write: 1, Flush: 1, Apply: 1}
	if ok, why := n.satisfiable(l, flush); ok || why != string(ledger.Uncompared) {
		t.Errorf("alone: %q", why)
	}
}
