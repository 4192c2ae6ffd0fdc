package cluster

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBeginsIsKept: a store that is about to take what was written instead of lost WAL is known to have it after a kill,
// from before the first byte on. One that has lost WAL is not, nor one that takes it from a member which does not bring
// what was written instead.
func TestBeginsIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		received lsn.LSN
		member   string
		empty    bool
		keeps    bool
	}{
		"it has none of the lost WAL":        {60, "", false, true},
		"it had nothing":                     {160, "", true, true},
		"it has lost WAL":                    {61, "", false, false},
		"the member has not given up either": {60, "c", false, false},
	} {
		dir := filepath.Join(t.TempDir(), "cluster")
		open := func(received lsn.LSN) *Node {
			s := newFakeStore(received)
			s.idle = true // nothing streams
			n, err := New(Options{
				Name: "a", Dir: dir, Store: s, Members: []string{"a", "c"}, Outbox: link.NewOutbox(),
				History: func() lsn.History { return lsn.History{Timeline: s.Positions().Timeline} },
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		n := open(c.received)
		n.mu.Lock()
		n.hearLosses("c", loss.Set{{ID: 3, System: 7, Timeline: 1, From: 60, To: 100}})
		n.mu.Unlock()
		_, err := n.Begins(c.member, c.empty, 0)
		if err := errors.Join(n.saveLosses(), err); err != nil {
			t.Fatal(err)
		}
		n = open(180) // killed; it has more WAL by then, which comes from nowhere
		if here := n.Parted(1, 60) != nil; here == c.keeps {
			t.Errorf("%s: taken for the lost WAL after a kill: %t", name, here)
		}
	}
}

// TestFollowedAfterAll: WAL was given up on one proxy, which has it until it is restarted, and then a standby was promoted
// that has it. Nobody who has that WAL is held back on the new timeline, nor after a restart, here and at a member. While a
// member says that it has what was written instead they are.
func TestFollowedAfterAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	forked := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 100}}}
	open := func(name, other, dir string, s *fakeStore) *Node {
		n, err := New(Options{
			Name: name, Dir: dir, Store: s, Members: []string{other}, Outbox: link.NewOutbox(), History: func() lsn.History { return forked },
			Rule: vote.RuleText{Names: "ANY 1 (s1)"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	store := newFakeStore(100)
	a, b := open("a", "b", dir, store), open("b", "a", "", newFakeStore(100))
	if err := a.GiveUp(7, 1, 60, 100, []Beyond{{Name: "s1", Timeline: 1, LSN: 100}}, true); err != nil {
		t.Fatal(err)
	}
	a.wantMarked(t, "s1")
	hears(t, b, "a", a.memberStatus())
	b.wantMarked(t, "s1")
	store.move(2, 100)
	if kept, err := a.Begins("", false, 1); err != nil || !kept {
		t.Fatalf("what was to be set aside is kept: %t, %v", kept, err)
	}
	who := loss.Who{Name: "s1"}
	for range 2 {
		a.wantMarked(t)
		if a.AsksFirst(who) || len(a.Status().GivenUp) > 0 || a.GaveUp(lsn.Point{Timeline: 1, LSN: 90}) {
			t.Errorf("the timeline that is followed has that WAL, and it is asked for: %+v", a.Status().GivenUp)
		}
		a = open("a", "b", dir, store)
	}
	hears(t, b, "a", a.memberStatus())
	b.wantMarked(t, "s1") // it is on the timeline of the loss
	b.mu.Lock()
	void := b.losses[0].Void
	b.mu.Unlock()
	if !void {
		t.Error("a member does not hear of it")
	}
	said := tail.MemberStatus{Node: "b", System: 7, Timeline: 1, Received: 120, Flushed: 120, GivenUp: a.losses}
	said.GivenUp[0].Instead = true
	if err := deliver(t, a, "b", said); err != nil {
		t.Fatal(err)
	}
	if !a.AsksFirst(who) {
		t.Error("a member says that it has what was written instead, and nobody is asked")
	}
}

// TestBothFollowAfterAll: WAL was given up on both proxies, and then a standby was promoted that has it. One hears that the
// other one keeps that WAL before it follows itself. It is over on both, and after restarts.
func TestBothFollowAfterAll(t *testing.T) {
	forked := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 100}}}
	stores := map[string]*fakeStore{"a": newFakeStore(100), "b": newFakeStore(100)}
	dirs := map[string]string{"a": filepath.Join(t.TempDir(), "cluster"), "b": filepath.Join(t.TempDir(), "cluster")}
	open := func(name, other string) *Node {
		n, err := New(Options{
			Name: name, Dir: dirs[name], Store: stores[name], Members: []string{other}, Outbox: link.NewOutbox(),
			History: func() lsn.History { return forked }, Rule: vote.RuleText{Names: "ANY 1 (s1, s2)"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := open("a", "b"), open("b", "a")
	tell := func() {
		t.Helper()
		hears(t, b, "a", a.memberStatus())
		hears(t, a, "b", b.memberStatus())
	}
	for _, n := range []*Node{a, b} {
		if err := n.GiveUp(7, 1, 60, 100, []Beyond{{Name: "s2", Timeline: 1, LSN: 100}}, true); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	for _, n := range []*Node{a, b} {
		n.wantMarked(t, "s2")
		stores[n.o.Name].move(2, 100)
		_, err := n.Begins("", false, 1)
		if err := errors.Join(err, n.TakeBack(1, 60, 100)); err != nil {
			t.Fatal(err)
		}
		tell()
	}
	for range 2 {
		for _, n := range []*Node{a, b} {
			n.look(time.Now())
			tell()
		}
		for _, n := range []*Node{a, b} {
			n.wantMarked(t)
			if n.AsksFirst(loss.Who{Name: "s2"}) || len(n.Status().GivenUp) > 0 || n.GaveUp(lsn.Point{Timeline: 1, LSN: 90}) {
				t.Errorf("%s follows a timeline that has that WAL, and asks for it: %+v", n.o.Name, n.Status().GivenUp)
			}
			if err := n.saveLosses(); err != nil {
				t.Fatal(err)
			}
		}
		a, b = open("a", "b"), open("b", "a")
		tell()
	}
}
