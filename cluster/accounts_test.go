package cluster

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
)

// A member's account comes over the link, with its fence; what it says after the fence is final, and its rule
// counts while it has said nothing.
func TestTailOverTheLink(t *testing.T) {
	store := newFakeStore(100)
	a, err := New(Options{
		Name: "a", Demand: vote.Demand{Names: "ANY 1 (s1, s2)"}, Store: store, Members: []string{"b"}, Outbox: link.NewOutbox(),
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
	if err := deliver(t, a, "b", stateOf("b", "ANY 1 (s1, s2)", 1)); err != nil {
		t.Fatal(err)
	}
	say := func(account tail.Account) error {
		b, err := tail.Encode(account)
		if err != nil {
			t.Fatal(err)
		}
		return a.Peers().Item("b", link.ID{Kind: itemAccount}, b)
	}
	if err := say(tail.Account{Node: "b", System: 7, Timeline: 1, Received: 120, Flushed: 120}); err != nil {
		t.Fatal(err)
	}
	want("b is not fenced: run")
	if err := say(tail.Account{Node: "b", System: 7, Fenced: 1, Timeline: 1, Received: 130, Flushed: 120}); err != nil {
		t.Fatal(err)
	}
	want("proven after it has been fed from 0/6E to 0/78 by a, which it is attached to and which takes it from b")
	if from := a.TailFrom(); from != "b" {
		t.Errorf("the tail comes from %q", from)
	}
	if err := say(tail.Account{Node: "c"}); err == nil {
		t.Error("b speaks for c")
	}
	if got := a.Tail(tail.Ask{}).Proxies[1]; got.Flushed != 120 || !got.Reached || !got.Final {
		t.Errorf("%+v", got)
	}
}
