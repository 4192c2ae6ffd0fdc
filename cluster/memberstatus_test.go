package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// A member's status comes over the link, with its fence; what it says after the fence is final, and its rule counts
// while it has said nothing.
func TestTailOverTheLink(t *testing.T) {
	store := newFakeStore(100)
	a, err := New(Options{
		Name: "a", Rule: vote.RuleText{Names: "ANY 1 (s1, s2)"}, Store: store, Members: []string{"b"}, Outbox: link.NewOutbox(),
		Details: func() Details {
			return Details{Timeline: 1, Standbys: []tail.Standby{{Name: "s1", Timeline: 1, Flush: 110}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := func(line string) {
		t.Helper()
		v, ok := a.Tail(tail.Ask{}).Of("s1")
		if !ok || !strings.Contains(v.String(), line) {
			t.Fatalf("%v\nwant %s", v, line)
		}
	}
	want("a is not fenced")
	if _, err := a.Fence(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	want("b: has said nothing since this proxy started, and it is not reached, and its rule is not known")
	hears(t, a, "b", stateOf("b", "ANY 1 (s1, s2)", 1))
	say := func(status tail.MemberStatus) error {
		return deliver(t, a, "b", status)
	}
	if err := say(tail.MemberStatus{Node: "b", System: 7, Timeline: 1, Received: 120, Flushed: 120}); err != nil {
		t.Fatal(err)
	}
	want("b is not fenced: run")
	if err := say(tail.MemberStatus{Node: "b", System: 7, Fenced: 1, Timeline: 1, Received: 130, Flushed: 120}); err != nil {
		t.Fatal(err)
	}
	want("proven after it has been fed from 0/6E to 0/78 by a, which it is attached to and which takes it from b")
	if from := a.TailFrom(); from != "b" {
		t.Errorf("the tail comes from %q", from)
	}
	if err := say(tail.MemberStatus{Node: "c"}); err == nil {
		t.Error("b speaks for c")
	}
	if got := a.Tail(tail.Ask{}).Proxies[1]; got.Flushed != 120 || !got.Reached || !got.Final {
		t.Errorf("%+v", got)
	}
}

// A member whose store was removed, or restored from a copy, has forgotten what it voted for: its fence says
// nothing about that. Another one remembers what it had, and what the rule covered.
func TestTailOfAStoreThatForgot(t *testing.T) {
	const rule, acksAlone = "ANY 2 (b, s2)", "its status had not come yet, only acks"
	for _, c := range []struct {
		name  string
		again tail.MemberStatus
		want  string
	}{
		{"removed, and fed from here", tail.MemberStatus{Begin: 40, Received: 80, Flushed: 80},
			"b: its store lacks WAL that it had: up to 0/5A"},
		{"restored", tail.MemberStatus{Received: 85, Flushed: 85, Promised: 85},
			"b: its store lacks WAL that it had: up to 0/5A"},
		{acksAlone, tail.MemberStatus{Received: 85, Flushed: 85}, "nobody who is reached has WAL up to 0/5A"},
		{"it is whole", tail.MemberStatus{Received: 90, Flushed: 90, Promised: 90},
			"proven after it has been fed from 0/50 to 0/5A by a, which it is attached to and which takes it from b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := openMember(t, "", rule, "b")
			n.o.Store.(*fakeStore).move(1, 80) // this one is behind: the WAL came to b
			n.o.Details = func() Details {
				return Details{Timeline: 1, Standbys: []tail.Standby{{Name: "s1", Timeline: 1, Flush: 80}}}
			}
			hear := func(m any) {
				t.Helper()
				hears(t, n, "b", m)
			}
			say := func(a tail.MemberStatus) {
				t.Helper()
				a.Node, a.System, a.Timeline, a.Written = "b", 7, 1, a.Flushed
				hears(t, n, "b", a)
			}
			s := stateOf("b", rule, 1, 9)
			s.Sessions = append(s.Sessions, vote.Session{Key: vote.Key{Node: "b", Incarnation: 8}, Kind: vote.Store, Name: "b", System: 7})
			hear(s)
			hear(reportOf("b", 9))
			store := reportOf("b", 8)
			store.Apply = 0
			hear(store)
			wantLimits(t, n, 90, 90, 0)
			if c.name != acksAlone {
				say(tail.MemberStatus{Received: 90, Flushed: 90, Promised: 90})
			}
			again := stateOf("b", rule, 1) // it comes back, and is fenced
			again.Boot, again.Fenced = 2, 1
			hear(again)
			c.again.Fenced = 1
			say(c.again)
			if _, err := n.Fence(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			v, _ := n.Tail(tail.Ask{}).Of("s1")
			if !strings.Contains(v.String(), c.want) {
				t.Errorf("%v\nwant %s", v, c.want)
			}
			if bound := ackedUpTo(n, 1); bound != 90 {
				t.Errorf("what may have been reported reaches up to %v", bound)
			}
		})
	}
}

// What a member said was acknowledged is not forgotten for what it merely had, on however many timelines.
func TestAcknowledgedIsRememberedLongest(t *testing.T) {
	acked := knownwal.Known{Point: lsn.Point{System: 1, Timeline: 1, LSN: 100}, By: "b", Acked: true}
	past := remember(nil, []knownwal.Known{acked})
	for tli := range lsn.TimelineID(3 * maxPast) {
		past = remember(past, []knownwal.Known{{Point: lsn.Point{System: 1, Timeline: tli + 2, LSN: 200}, By: "b", Complete: true}})
	}
	if len(past) != maxPast || !slices.Contains(past, acked) {
		t.Errorf("%d are remembered: %+v", len(past), past)
	}
}
