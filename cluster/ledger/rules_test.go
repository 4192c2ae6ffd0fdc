package ledger

import (
	"errors"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestFirstOverNodes is ruling R5. The last word of a silent node holds FIRST until it says that the session ended, or
// until an operator forgets the node. Nothing is decided before everybody was heard.
func TestFirstOverNodes(t *testing.T) {
	w := newWorld(t, "FIRST 1 (s1, s2)", "a", "b", "c")
	w.attach("b", "s1")
	w.attach("a", "s2")
	w.ack("b", "s1", 40)
	w.ack("a", "s2", 70)
	w.want("a", "40 40 40")
	w.now = w.now.Add(2 * timeout)
	w.want("a", "40 40 40")
	if err := w.nodes["a"].Forget("b"); err != nil {
		t.Fatal(err)
	}
	w.want("a", "70 70 70")
	w.gossip()
	w.want("a", "40 40 40")
	w.end("b", "s1")
	w.want("a", "70 70 70")

	w.cut[[2]string{"c", "a"}] = true
	w.start("a", anyRule("FIRST 1 (s1, s2)"))
	w.attach("a", "s2")
	w.ack("a", "s2", 70)
	w.want("a", "0 0 0") // c may serve s1
	if err := w.nodes["a"].Forget("c"); err != nil {
		t.Fatal(err)
	}
	w.want("a", "70 70 70")
}

// TestAnyDropsTheSilent: under ANY silence takes votes away, which is safe.
func TestAnyDropsTheSilent(t *testing.T) {
	w := newWorld(t, "ANY 2 (*)", "a", "b")
	w.attach("a", "s1")
	w.attach("b", "s2")
	w.ack("a", "s1", 50)
	w.ack("b", "s2", 60)
	w.want("a", "50 50 50")
	w.now = w.now.Add(timeout + 1)
	w.want("a", "0 0 0")
	w.nodes["a"].Seen(w.now, "b")
	w.want("a", "50 50 50")
	w.now = w.now.Add(-10 * timeout) // a clock that jumps back silences nobody
	w.want("a", "50 50 50")
}

func TestRulesThatDiffer(t *testing.T) {
	w := newWorld(t, "ANY 1 (*)", "a", "b")
	w.attach("a", "s1")
	w.attach("b", "s2")
	w.ack("a", "s1", 50)
	w.ack("b", "s2", 60)
	w.want("a", "60 60 60")
	w.setRule("b", "ANY 2 (*)", 60)
	w.want("a", "50 50 50")
	w.want("b", "50 50 50")
	if c := w.nodes["b"].Confirmed(); !slices.Equal(c.Missing, []string{"a"}) || !slices.Equal(c.Unestablished, []string{"b"}) {
		t.Errorf("%+v", c)
	}
	w.setRule("a", "ANY 2 (*)", 60)
	w.ack("a", "s1", 60)
	for _, n := range w.names {
		l := w.nodes[n]
		if !l.Establish(l.Evaluated(w.now, system, 1), 1, 60) || l.Establish(l.Evaluated(w.now, system, 1), 1, 60) {
			t.Errorf("the rule of %s is not established once", n)
		}
	}
	w.gossip()
	if c := w.nodes["a"].Confirmed(); len(c.Missing)+len(c.Unestablished) > 0 {
		t.Errorf("not in force: %+v", c)
	}
	// A laxer rule of a higher generation supersedes what a silent member demanded; of a live one it does not.
	w.setRule("a", "ANY 1 (*)", 60)
	w.ack("a", "s1", 90)
	w.want("a", "60 60 60")
	w.now = w.now.Add(timeout + 1)
	w.want("a", "90 90 90")
}

// TestEstablishedOnAnotherTimeline: beyond a fork the rule's beginning is no position of the WAL there; what was
// received there is, and the rule covers no less of it.
func TestEstablishedOnAnotherTimeline(t *testing.T) {
	for _, c := range []struct {
		flush, received lsn.LSN
		establishes     bool
	}{{30, 40, false}, {40, 40, true}, {60, 90, true}, {55, 90, false}} {
		w := newWorld(t, "ANY 1 (s1)", "a")
		w.setRule("a", "ANY 1 (s2)", 60)
		lim := Evaluation{Progress: lsn.Progress{Flush: c.flush}}
		if w.nodes["a"].Establish(lim, 2, c.received) != c.establishes {
			t.Errorf("%+v", c)
		}
	}
}

// TestRulesThatAreDropped: an unestablished rule leaves no trace, the one before it does.
func TestRulesThatAreDropped(t *testing.T) {
	w := newWorld(t, "ANY 1 (s1)", "a")
	w.setRule("a", "ANY 9 (s1)", 50)
	w.setRule("a", "ANY 1 (s2)", 50)
	r := w.nodes["a"].State().Rule
	if r.Before.Names != "ANY 1 (s1)" || r.Generation != 3 || r.From != 50 || r.Established {
		t.Errorf("%+v", r)
	}
}

func TestEmptyRule(t *testing.T) {
	w := newWorld(t, "", "a")
	w.want("a", "everything")
	if p := w.nodes["a"].Evaluated(w.now, system, 1).Progress; p.Flush != Max || p.Apply != 0 {
		t.Errorf("%+v", p)
	}
	w = newWorld(t, "ANY 1 (s)", "a", "b")
	if _, err := w.nodes["a"].NextRule(vote.RuleText{}, 1, 0, false); !errors.Is(err, ErrRefused) {
		t.Errorf("an empty rule beside others: %v", err)
	}
	if r, err := w.nodes["a"].NextRule(vote.RuleText{}, 1, 0, true); err != nil || r.Generation != 2 {
		t.Errorf("an operator insists: %+v, %v", r, err)
	}
	// A node that was configured without one satisfies those of the others all the same.
	w.start("b", vote.Rule{})
	w.gossip()
	w.attach("a", "s")
	w.ack("a", "s", 30)
	w.want("b", "30 30 0")
	w.now = w.now.Add(2 * timeout)
	w.want("b", "0 0 0")
	for _, d := range []vote.RuleText{{Names: "ANY 1 ("}, {Names: "a", Spread: "b"}, {Spread: "*"}} {
		if _, err := w.nodes["a"].NextRule(d, 1, 0, false); !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestFenceWithdraws(t *testing.T) {
	w := newWorld(t, "ANY 1 (s1, s2)", "a", "b")
	w.attach("a", "s1")
	w.attach("b", "s2")
	w.ack("a", "s1", 50)
	w.ack("b", "s2", 60)
	w.want("a", "60 60 60")
	w.nodes["b"].Fence(1)
	w.want("b", "0 0 0")
	w.ack("b", "s2", 90)
	w.want("a", "50 50 50")
	w.nodes["b"].Fence(0) // nothing is taken back
	w.want("b", "0 0 0")
	old := w.nodes["b"].State()
	old.Seq, old.Fenced = old.Seq+1, 0
	if err := w.nodes["a"].Merge(w.now, old); err != nil {
		t.Fatal(err)
	}
	w.want("a", "50 50 50")
	r, send := w.nodes["b"].Ack(w.now, Ack{
		Incarnation: w.keys["b/s2"], Timeline: 2, Received: 95, Sent: 95, Progress: lsn.Progress{Write: 95, Flush: 95}, Streaming: true,
	})
	if !send || r.Flush != 95 {
		t.Errorf("on the next timeline it votes: %+v", r)
	}

	w = newWorld(t, "FIRST 1 (s1, s2)", "a", "b")
	w.attach("a", "s1")
	w.ack("a", "s1", 50)
	w.want("a", "50 50 50")
	w.nodes["b"].Fence(1)
	w.gossip()
	w.want("a", "0 0 0")
}

// TestWhoVotes: members by their stores only, stores by name only, never what two nodes claim.
func TestWhoVotes(t *testing.T) {
	w := newWorld(t, "ANY 1 (*)", "a", "b")
	w.attach("a", "b") // member b as a standby of a
	w.ack("a", "b", 50)
	w.attach("b", "b") // its store
	w.ack("b", "b", 60)
	w.want("a", "0 0 0")
	w.setRule("a", "ANY 1 (b)", 0)
	w.setRule("b", "ANY 1 (b)", 0)
	w.want("a", "60 60 0")
	w.nodes["a"].Contest("b", true)
	w.want("a", "0 0 0")
	w.nodes["a"].Contest("b", false)
	w.want("a", "60 60 0")
	w.nodes["a"].Contest("a", true)
	w.want("a", "0 0 0")
	if got := w.nodes["b"].Evaluated(w.now, system, 2); got.Flush != 0 {
		t.Errorf("on another timeline: %+v", got)
	}
	if got := w.nodes["b"].Evaluated(w.now, system+1, 1); got.Flush != 0 {
		t.Errorf("of another system: %+v", got)
	}
}

// TestLateNews: what was overtaken changes nothing.
func TestLateNews(t *testing.T) {
	w := newWorld(t, "ANY 1 (*)", "a", "b")
	w.attach("b", "s")
	w.ack("b", "s", 40)
	a, b := w.nodes["a"], w.nodes["b"]
	state, report := b.State(), b.Reports()[0]
	w.ack("b", "s", 60)
	if a.Report(w.now, report) {
		t.Error("an old report moved something")
	}
	w.want("a", "60 60 60")
	w.end("b", "s")
	if err := a.Merge(w.now, state); err != nil {
		t.Fatal(err)
	}
	if a.Report(w.now, report) || a.Counters().Reports != 1 {
		t.Errorf("a report of an ended session: %+v", a.Counters())
	}
	w.want("a", "0 0 0")
	// The node starts again: what its earlier life said is over, however late it comes.
	w.start("b", anyRule("ANY 1 (*)"))
	w.gossip()
	state.Seq += 100
	if err := a.Merge(w.now, state); err != nil {
		t.Fatal(err)
	}
	w.want("a", "0 0 0")
}

func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t, "ANY 1 (*)", "a", "b")
	good := vote.Session{Key: vote.Key{Node: "b", Incarnation: 1}, Name: "s", System: system}
	for name, change := range map[string]func(*vote.State){
		"a stranger":        func(s *vote.State) { s.Node = "c" },
		"ourselves":         func(s *vote.State) { s.Node = "a" },
		"a rule":            func(s *vote.State) { s.Rule.Names = "ANY" },
		"a name not folded": func(s *vote.State) { s.Sessions[0].Name = "S" },
		"another's session": func(s *vote.State) { s.Sessions[0].Node = "a" },
		"another's store":   func(s *vote.State) { s.Sessions[0].Kind = vote.Store },
		"no incarnation":    func(s *vote.State) { s.Sessions[0].Incarnation = 0 },
		"one twice":         func(s *vote.State) { s.Sessions = append(s.Sessions, s.Sessions[0]) },
		"too many":          func(s *vote.State) { s.Sessions = make([]vote.Session, vote.MaxSessions+1) },
	} {
		s := vote.State{Node: "b", Boot: 1 << 40, Sessions: []vote.Session{good}}
		change(&s)
		if err := w.nodes["a"].Merge(w.now, s); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.nodes["a"].Counters().States; n != 9 {
		t.Errorf("%d refused", n)
	}
	if err := w.nodes["a"].Forget("a"); !errors.Is(err, ErrRefused) {
		t.Errorf("forgetting ourselves: %v", err)
	}
}

// TestVoteIsBounded: by what was sent, in each column; more sent than received is our own mistake.
func TestVoteIsBounded(t *testing.T) {
	w := newWorld(t, "s", "a")
	w.attach("a", "s")
	l := w.nodes["a"]
	a := Ack{Incarnation: w.keys["a/s"], Timeline: 1, Received: 50, Sent: 40, Progress: lsn.Progress{Write: 90, Flush: 80, Apply: 30}, Streaming: true}
	if r, _ := l.Ack(w.now, a); r.Write != 40 || r.Flush != 40 || r.Apply != 30 {
		t.Errorf("%+v", r)
	}
	a.Sent = 60
	if _, send := l.Ack(w.now, a); send || l.Counters().Violations != 1 {
		t.Errorf("%+v", l.Counters())
	}
}

// TestOldReportProvesNothing: what lies in the socket of a session that its standby has left, or what a standby
// has from elsewhere, is no sign of life (docs/adr/0020).
func TestOldReportProvesNothing(t *testing.T) {
	w := newWorld(t, "ANY 2 (s)", "a")
	l := w.nodes["a"]
	report := func(id uint64, sent, write lsn.LSN) []uint64 {
		r, _ := l.Ack(w.now, Ack{
			Incarnation: id, Timeline: 1, Received: 500, Sent: sent, Progress: lsn.Progress{Write: write, Flush: write}, Streaming: true,
		})
		return r.Distinct
	}
	w.attach("a", "s")
	old := w.keys["a/s"]
	report(old, 100, 90)
	w.attach("a", "s")
	young := w.keys["a/s"]
	report(young, 100, 100)
	for _, c := range []struct {
		sent, write lsn.LSN
		proven      bool
	}{
		{120, 95, false},  // was in the socket; from here on it counts what is sent beyond 120
		{150, 120, false}, // still may have been
		{160, 400, false}, // from elsewhere
		{160, 121, true},  // was sent after the young one was known
		{160, 121, true},  // for good
	} {
		if got := slices.Contains(report(old, c.sent, c.write), young); got != c.proven {
			t.Errorf("sent %d, write %d: proven %v", uint64(c.sent), uint64(c.write), got)
		}
	}
	w.want("a", "0 0 0") // the young one has proven nothing yet
	w.attach("a", "s")
	younger := w.keys["a/s"]
	for _, c := range []struct {
		sent, write lsn.LSN
		proven      bool
	}{
		{170, 400, false}, // from elsewhere: a walreceiver says what was replayed until WAL comes
		{410, 400, false}, // said then as well, and now within what was sent
		{420, 401, true},
	} {
		if got := slices.Contains(report(young, c.sent, c.write), younger); got != c.proven {
			t.Errorf("from elsewhere: sent %d, write %d: proven %v", uint64(c.sent), uint64(c.write), got)
		}
	}
}
