package cluster

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
)

// TestStranger: a proxy that a member has in its configuration and this node has not may report to the primary. It is
// named, nothing is proven without its word, and no new timeline is followed, however long ago this node started. Once
// the member has removed it, all is as before.
func TestStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openMember(t, "", "ANY 1 (s1)", "b")
		time.Sleep(n.o.Timeout)
		says := func(members ...string) {
			t.Helper()
			hears(t, n, "b", tail.MemberStatus{Node: "b", System: 7, Timeline: 1, Fenced: 1, Members: members})
		}
		says(n.o.Name)
		if _, who := n.Known(); who.Members != nil || n.Status().Strangers != nil {
			t.Fatalf("without a stranger: %+v", who)
		}
		says(n.o.Name, "c")
		if _, who := n.Known(); !slices.Equal(who.Members, []string{"c"}) || who.KnownBy != "b" || who.Alone {
			t.Errorf("unheard %+v", who)
		}
		if got := n.Status().Strangers; !slices.Equal(got, []Stranger{{Name: "c", KnownBy: "b"}}) {
			t.Errorf("strangers %+v", got)
		}
		v, _ := n.Tail(tail.Ask{Candidate: "s1"}).Of("s1")
		if !strings.Contains(v.String(), "c: is in cluster.members of b and not of "+n.o.Name) {
			t.Errorf("%s", v)
		}
		says(n.o.Name)
		if _, who := n.Known(); who.Members != nil {
			t.Errorf("after it was removed: %+v", who)
		}
	})
}

// TestSaysItsMembers: a status has the members that are not removed.
func TestSaysItsMembers(t *testing.T) {
	n := openMember(t, "", "ANY 1 (s1)", "b", "c")
	if got := n.memberStatus().Members; !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%q", got)
	}
	if err := n.Forget("b"); err != nil {
		t.Fatal(err)
	}
	b, older, err := tail.Encode(n.memberStatus())
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[int][]string{1: nil, 2: {"c"}} {
		if version == 1 {
			b = b[:older]
		} else if b, _, err = tail.Encode(n.memberStatus()); err != nil {
			t.Fatal(err)
		}
		got, err := tail.Decode(n.o.Name, version, b)
		if err != nil || !slices.Equal(got.Members, want) {
			t.Errorf("version %d: %q, %v", version, got.Members, err)
		}
	}
}
