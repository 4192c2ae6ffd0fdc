package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// newcomerOf is a node on an empty data_dir, on the store s.
func newcomerOf(t *testing.T, s Store, others ...string) *Node {
	t.Helper()
	n, err := New(Options{
		Name: "a", Members: others, Store: s, Dir: t.TempDir(), Outbox: link.NewOutbox(), New: true, Newcomer: true,
		History: func() lsn.History { return lsn.History{Timeline: s.Positions().Timeline} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// answers lets a member say that it does not know n's name.
func answersNewcomer(t *testing.T, n *Node, member string) {
	t.Helper()
	n.mu.Lock()
	n.answer(member, vote.Life{})
	n.mu.Unlock()
	if err := n.answered(); err != nil {
		t.Fatal(err)
	}
}

// saysStatus lets a member say its status in a message version, from its node when that is not nil.
func saysStatus(t *testing.T, n *Node, member string, version int, from *Node) {
	t.Helper()
	m := tail.MemberStatus{Node: member}
	if from != nil {
		m = from.memberStatus()
		m.Node = member
	}
	b, older, err := tail.Encode(m)
	if version == link.Oldest {
		b = b[:older]
	}
	if err == nil {
		err = n.Peers().Item(member, version, link.ID{Kind: itemMemberStatus}, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantWaits(t *testing.T, n *Node, now time.Time, waits bool, members ...string) {
	t.Helper()
	n.takesLosses(now)
	if got, is := n.Newcomer(); is != waits || !slices.Equal(got, members) {
		t.Errorf("waits %t for %v, expected %t for %v", is, got, waits, members)
	}
}

// TestNewcomerHearsOfLosses: a node that may have forgotten which WAL was given up serves nobody before another member
// has said it, and then knows it durably. Further members are waited for only so long.
func TestNewcomerHearsOfLosses(t *testing.T) {
	b := openMember(t, t.TempDir(), "", "a")
	if err := b.GiveUp(7, 1, 60, 90, nil, false); err != nil {
		t.Fatal(err)
	}
	n, now := newcomerOf(t, newFakeStore(100), "b", "c"), time.Now()
	wantWaits(t, n, now, true, "b", "c")
	answersNewcomer(t, n, "b")
	wantWaits(t, n, now.Add(time.Hour), true, "b", "c") // it has not said yet what was given up
	saysStatus(t, n, "b", link.Newest, b)
	wantWaits(t, n, now, true, "c")
	wantWaits(t, n, now.Add(othersMost-1), true, "c")
	wantWaits(t, n, now.Add(othersMost), false)
	kept, err := memory(n.o.Dir).losses()
	if err != nil || len(kept) != 1 || !kept[0].Own {
		t.Errorf("on the disk: %+v, %v", kept, err)
	}
}

// TestNewcomerIsLetIn: by all members, by one of v0.1.0, which can't know of a loss, and by an operator who has
// forgotten those that are gone. One that has no other member waits for nobody.
func TestNewcomerIsLetIn(t *testing.T) {
	n, now := newcomerOf(t, newFakeStore(100), "b"), time.Now()
	saysStatus(t, n, "b", link.Oldest, nil)
	wantWaits(t, n, now, true, "b")
	answersNewcomer(t, n, "b")
	wantWaits(t, n, now, false)

	n = newcomerOf(t, newFakeStore(100), "b", "c")
	wantWaits(t, n, now, true, "b", "c")
	for _, m := range []string{"b", "c"} {
		if err := n.Forget(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.answered(); err != nil {
		t.Fatal(err)
	}
	wantWaits(t, n, now, false)

	wantWaits(t, newcomerOf(t, newFakeStore(100)), now, false)
	wantWaits(t, openMember(t, t.TempDir(), "", "b"), now, false) // that is not new
}

// TestNewcomerKnowsItsWAL: while nothing comes in nobody can say whether a store that has forgotten everything has the
// lost WAL or what was written instead.
func TestNewcomerKnowsItsWAL(t *testing.T) {
	b := openMember(t, t.TempDir(), "", "a")
	if err := b.GiveUp(7, 1, 60, 90, nil, false); err != nil {
		t.Fatal(err)
	}
	s := newFakeStore(100)
	s.idle = true
	n, now := newcomerOf(t, s, "b"), time.Now()
	saysStatus(t, n, "b", link.Newest, b)
	answersNewcomer(t, n, "b")
	wantWaits(t, n, now, true)
	s.idle = false
	wantWaits(t, n, now, false)
}
