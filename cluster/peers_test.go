package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func memberNode(t *testing.T, rule string) *Node {
	t.Helper()
	return openMember(t, "", rule, "b")
}

func openMember(t *testing.T, dir, rule string, others ...string) *Node {
	t.Helper()
	n, err := New(Options{
		Name: "a", Rule: vote.RuleText{Names: rule}, Store: newFakeStore(100), Members: others,
		Outbox: link.NewOutbox(), Dir: dir, Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.establishing = false // not what is tested here
	return n
}

func stateOf(node, rule string, seq uint64, sessions ...uint64) vote.State {
	s := vote.State{Node: node, Boot: 1, Seq: seq, HistoryHash: 1, FirstWAL: vote.Fingerprint{Never: true}, Rule: vote.Rule{Generation: 1, RuleText: vote.RuleText{Names: rule}, Established: true}}
	for _, id := range sessions {
		s.Sessions = append(s.Sessions, vote.Session{Key: vote.Key{Node: node, Incarnation: id}, Name: "s2", System: 7})
	}
	return s
}

// deliver brings n one item of a member, in the newest message version, and returns what n says to it.
func deliver(t *testing.T, n *Node, peer string, m any) error {
	t.Helper()
	var id link.ID
	var b []byte
	var err error
	switch m := m.(type) {
	case vote.State:
		id.Kind = itemState
		b, _, err = vote.AppendState(nil, m)
	case vote.Report:
		id = link.ID{Kind: itemReport, Num: m.Incarnation}
		b, _, err = vote.AppendReport(nil, m)
	case tail.MemberStatus:
		id.Kind = itemMemberStatus
		b, _, err = tail.Encode(m)
	default:
		t.Fatalf("nobody sends a %T", m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n.Peers().Item(peer, link.Newest, id, b)
}

// hears brings n items of a member, each of which it has to take.
func hears(t *testing.T, n *Node, peer string, items ...any) {
	t.Helper()
	for _, m := range items {
		if err := deliver(t, n, peer, m); err != nil {
			t.Fatal(err)
		}
	}
}

func reportOf(node string, id uint64) vote.Report {
	return vote.Report{
		Key: vote.Key{Node: node, Incarnation: id}, Seq: 1, Timeline: 1, Progress: lsn.Progress{Write: 90, Flush: 90, Apply: 90}, Streaming: true,
	}
}

// A member's standby counts, in whichever order its items come; nothing counts before rules were compared,
// and nothing of a session that has ended.
func TestPeersItems(t *testing.T) {
	const rule = "ANY 2 (s1, s2)"
	for _, reportFirst := range []bool{true, false} {
		n := memberNode(t, rule)
		report(n, n.Attach("s1"), 1, 80)
		wantLimits(t, n, 0, 0, 0)
		items := []any{stateOf("b", rule, 1, 5), reportOf("b", 5)}
		if reportFirst {
			items[0], items[1] = items[1], items[0]
		}
		hears(t, n, "b", items...)
		wantLimits(t, n, 80, 80, 80)
		hears(t, n, "b", stateOf("b", rule, 2))
		wantLimits(t, n, 0, 0, 0)
	}
}

// While rules differ, a position has to satisfy both; two holders of a name have no vote.
func TestPeersRules(t *testing.T) {
	n := memberNode(t, "ANY 1 (s1, s2)")
	report(n, n.Attach("s1"), 1, 80)
	hears(t, n, "b", stateOf("b", "ANY 2 (s1, s2)", 1, 5))
	wantLimits(t, n, 0, 0, 0)
	if why := n.Status().Levels[flush].Why; why != "ANY 2 (s1, s2) (the rule of b) has 1 candidate" {
		t.Errorf("the stricter rule is not said to be b's: %q", why)
	}
	if o := n.Status().Others(); len(o) != 1 || o[0].Rule.Names != "ANY 2 (s1, s2)" || !slices.Equal(o[0].Nodes, []string{"b"}) {
		t.Errorf("rules of others: %+v", o)
	}
	hears(t, n, "b", reportOf("b", 5))
	wantLimits(t, n, 80, 80, 80)
	n.Peers().Conflict("b")
	wantLimits(t, n, 0, 0, 0)
	n.Peers().Up("b", link.Oldest)
	wantLimits(t, n, 80, 80, 80)
	if m := n.Status().Confirmation.Missing; len(m) != 1 || m[0] != "b" {
		t.Errorf("who has not confirmed the rule: %v", m)
	}
}

// Positions that are withheld are no rule: only a rule of somebody is.
func TestRuled(t *testing.T) {
	n := memberNode(t, "")
	want := func(flush lsn.LSN, ruled bool) {
		t.Helper()
		if p, is := n.Reportable(); p.Flush != flush || is != ruled {
			t.Errorf("flush %v, a rule is in use: %v; want %v, %v", p.Flush, is, flush, ruled)
		}
	}
	want(0, false) // rules were not compared yet
	for i, c := range []struct {
		rule  string
		flush lsn.LSN
		ruled bool
	}{{"", ledger.Max, false}, {"s2", 0, true}, {"", ledger.Max, false}} {
		hears(t, n, "b", stateOf("b", c.rule, uint64(i+1)))
		want(c.flush, c.ruled)
	}
	if err := n.SetRule(vote.RuleText{Names: "s1"}); err != nil {
		t.Fatal(err)
	}
	want(0, true)
}

// Without a rule a report costs the WAL's way nothing: no allocation, and nobody is woken.
func TestReportsWithoutRule(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "", store)
	id := n.Attach("s1")
	at := lsn.LSN(100)
	pass := func() {
		at += 8
		store.move(1, at)
		report(n, id, 1, at)
		n.StoreMoved()
		if p, ruled := n.Reportable(); p.Flush != ledger.Max || ruled {
			t.Fatalf("%+v, a rule is in use: %v", p, ruled)
		}
	}
	pass()
	<-n.Changed() // of the attaching
	if allocs := testing.AllocsPerRun(1000, pass); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	select {
	case <-n.Changed():
		t.Error("the reporter was woken")
	default:
	}
	if err := n.SetRule(vote.RuleText{Names: "s1"}); err != nil {
		t.Fatal(err)
	}
	n.saveKnown()
	<-n.Changed()
	report(n, id, 1, at)
	wantLimits(t, n, at, at, at)
	store.move(1, at+8)
	report(n, id, 1, at+8)
	select {
	case <-n.Changed():
	default:
		t.Error("with a rule nobody was woken")
	}
}

// A peer speaks of itself only, and says nothing garbled.
func TestPeersRefuse(t *testing.T) {
	n := memberNode(t, "ANY 1 (s1)")
	for name, m := range map[string]any{
		"another member's state": stateOf("c", "s1", 1), "our own state": stateOf("a", "s1", 9), "another's report": reportOf("a", 7),
	} {
		if err := deliver(t, n, "b", m); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "noise": []byte("hello, this is no item of a node")} {
		if err := n.Peers().Item("b", link.Newest, link.ID{Kind: itemState}, b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	later := link.ID{Kind: itemNewest + 1}
	if err := n.Peers().Item("b", link.Oldest, later, nil); err == nil {
		t.Error("an unknown kind was taken in version 1")
	}
	if err := n.Peers().Item("b", link.Newest, later, []byte("of a release to come")); err != nil {
		t.Errorf("an unknown kind: %v", err)
	}
	for id := range uint64(2 * vote.MaxSessions) {
		_ = deliver(t, n, "b", reportOf("b", id+1))
	}
	if len(n.early) > vote.MaxSessions {
		t.Errorf("%d reports wait for a state", len(n.early))
	}
	wantLimits(t, n, 0, 0, 0)
}
