package cluster

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func (n *Node) wantMarked(t *testing.T, names ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.beyond, names) {
		t.Errorf("%s: %v do not count, want %v", n.o.Name, n.beyond, names)
	}
}

// all is a progress in which all positions are one.
func all(at lsn.LSN) lsn.Progress { return lsn.Progress{Write: at, Flush: at, Apply: at} }

// TestGiveUp: after WAL is given up a standby that had some of it does not count, over restarts too, until what it says
// first shows that it was made anew. Those that had none of it go on.
func TestGiveUp(t *testing.T) {
	dir, store := filepath.Join(t.TempDir(), "cluster"), newFakeStore(100)
	start := func() *Node {
		n, err := New(Options{Name: "a", Dir: dir, Store: store, Rule: vote.RuleText{Names: "ANY 1 (s1, s2)"}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := start()
	s1, s2 := n.Attach("s1"), n.Attach("s2")
	report(n, s1, 1, 100)
	report(n, s2, 1, 60)
	judge := func(n *Node, name string, at lsn.LSN) *loss.Loss {
		return n.judge(loss.Who{Name: name}, all(at)).Refused
	}
	if n.AsksFirst(loss.Who{Name: "s1"}) || judge(n, "s1", 90) != nil || n.MadeAnew("s1", false) == nil {
		t.Error("nothing was given up, and somebody is asked")
	}
	if err := n.GiveUp(7, 1, 60, 80, []Beyond{{Name: "s3", Timeline: 1, LSN: 110}, {Name: "s4", Timeline: 1, LSN: 50}, {Name: "s5", Timeline: 2, LSN: 110}}, false); err != nil {
		t.Fatal(err)
	}
	n.wantMarked(t, "s1", "s3")
	wantLimits(t, n, 60, 60, 60)
	n = start()
	n.wantMarked(t, "s1", "s3")
	report(n, n.Attach("s1"), 1, 100) // through a member that does not ask
	wantLimits(t, n, 0, 0, 0)
	if v := n.Status().Voters; v[1].Name != "s1" || v[1].Standing != ledger.BeyondLoss || v[2].Standing != Absent {
		t.Errorf("%+v", v)
	}
	for p, want := range map[lsn.Point]bool{{Timeline: 1, LSN: 60}: false, {Timeline: 1, LSN: 110}: true, {Timeline: 2, LSN: 100}: false,
		{Timeline: 1, LSN: 111}: false} {
		if n.GaveUp(p) != want {
			t.Errorf("%+v was given up: %t", p, !want)
		}
	}
	l := judge(n, "s1", 100)
	if l == nil || l.From != 60 || l.To != 110 || judge(n, "s2", 60) != nil {
		t.Errorf("%+v", l)
	}
	if judge(n, "s1", 111) != nil || n.AsksFirst(loss.Who{Name: "s1"}) {
		t.Error("made anew, and refused")
	}
	wantLimits(t, n, 100, 100, 100)
	n = start()
	n.wantMarked(t, "s3")
	if err := n.MadeAnew("S3", false); err != nil || n.AsksFirst(loss.Who{Name: "s3"}) {
		t.Error(err)
	}
	n = start()
	n.wantMarked(t)
}

// TestAsideServesNobody: from the operator's word to the restart that sets the lost WAL aside, a standby that has none of
// it gets none, and has passed nothing by that.
func TestAsideServesNobody(t *testing.T) {
	store := newFakeStore(100)
	store.idle = true
	n, err := New(Options{Name: "a", Store: store, Rule: vote.RuleText{Names: "ANY 1 (s1, s2)"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.GiveUp(7, 1, 60, 100, nil, true); err != nil {
		t.Fatal(err)
	}
	who := loss.Who{Name: "s1"}
	for at, here := range map[lsn.LSN]bool{50: true, 60: true, 80: false, 101: true} {
		if j := n.judge(who, all(at)); j.Refused == nil || j.Here != here || !n.AsksFirst(who) {
			t.Errorf("a standby at %s: %+v", at, j)
		}
	}
	if n.Parted(1, 60) == nil || n.Parted(1, 61) != nil {
		t.Error("one that is attached and has none of it goes on")
	}
}

// TestMemberBringsWhatItSays: a proxy that streams from a member takes its WAL for what was written instead of lost WAL
// only when the member says so. The member may have the lost WAL itself: it has not heard, or is not restarted yet.
func TestMemberBringsWhatItSays(t *testing.T) {
	open := func(name string, s *fakeStore) *Node {
		n, err := New(Options{
			Name: name, Store: s, Members: []string{"a", "b", "c"}, Outbox: link.NewOutbox(),
			History: func() lsn.History { return lsn.History{Timeline: s.Positions().Timeline} },
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	gets, serves := newFakeStore(100), newFakeStore(100)
	gets.from, serves.idle = "c", true
	a, b, c := open("a", newFakeStore(60)), open("b", gets), open("c", serves)
	tell := func(from *Node) {
		t.Helper()
		hears(t, b, from.o.Name, from.memberStatus())
		b.adoptLosses()
	}
	give := func(n *Node, aside bool) {
		if err := n.GiveUp(7, 1, 60, 100, nil, aside); err != nil {
			t.Fatal(err)
		}
	}
	give(a, false)
	tell(a)
	tell(c)
	if b.Parted(1, 60) == nil {
		t.Error("the member has not heard of the loss: it may send the lost WAL")
	}
	give(c, true)
	tell(c)
	if b.Parted(1, 60) == nil || b.losses[0].Own {
		t.Error("the member has the lost WAL until its next start")
	}
	c.aside = 0
	tell(c)
	if b.Parted(1, 60) != nil || !b.AsksFirst(loss.Who{Name: "s1"}) || !b.losses[0].Own {
		t.Error("the member says that it has what was written instead")
	}
}

// TestLossesAreTold: a member hears from another one that WAL was given up. It refuses standbys only when it has the
// WAL that was written instead, and tells the others who was made anew. It does not say that it was told so itself.
func TestLossesAreTold(t *testing.T) {
	open := func(name, other string, s *fakeStore) *Node {
		n, err := New(Options{
			Name: name, Store: s, Members: []string{other}, Outbox: link.NewOutbox(),
			History: func() lsn.History { return lsn.History{Timeline: s.Positions().Timeline} },
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	behind := newFakeStore(100)
	behind.idle = true
	a, b := open("a", "b", newFakeStore(60)), open("b", "a", behind)
	tell := func(from, to *Node) {
		t.Helper()
		hears(t, to, from.o.Name, from.memberStatus())
	}
	if err := a.GiveUp(7, 1, 60, 100, []Beyond{{Name: "s1", Timeline: 1, LSN: 100}}, false); err != nil {
		t.Fatal(err)
	}
	heard := 0
	b.o.LossHeard = func() { heard++ }
	tell(a, b)
	tell(a, b)
	if heard != 1 || b.Parted(1, 60) == nil || b.Parted(1, 61) != nil || b.Parted(2, 60) != nil || a.Parted(1, 60) != nil {
		t.Errorf("heard %d times, or somebody who has none of the lost WAL still gets it", heard)
	}
	b.wantMarked(t, "s1")
	if g := b.Status().GivenUp; len(g) != 1 || g[0].Own || !slices.Equal(g[0].Elsewhere, []string{"a"}) || len(g[0].Untold) > 0 {
		t.Errorf("who was not told does not say who was: %+v", g)
	}
	if err := b.saveLosses(); err != nil {
		t.Fatal(err)
	}
	tell(b, a)
	if g := a.Status().GivenUp; len(g) != 1 || !g[0].Own || len(g[0].Elsewhere) > 0 || !slices.Equal(g[0].Untold, []string{"b"}) {
		t.Errorf("who was told does not say who was not: %+v", g)
	}
	who := loss.Who{Name: "s1", Host: "h"}
	for at, refused := range map[lsn.LSN]bool{60: true, 61: false, 100: false, 101: true} {
		if j := b.judge(who, all(at)); !b.AsksFirst(who) || (j.Refused != nil) != refused || j.Here != refused {
			t.Errorf("a proxy that has the lost WAL itself, a standby at %s: %+v", at, j)
		}
	}
	behind.idle = false
	for _, c := range []struct {
		at      lsn.LSN
		refused bool
	}{{90, true}, {101, false}} {
		if j := b.judge(who, all(c.at)); (j.Refused != nil) != c.refused || j.Here {
			t.Errorf("what the standby says at %s is not heeded: %+v", c.at, j)
		}
	}
	tell(b, a)
	a.wantMarked(t)
	if a.AsksFirst(who) || !a.losses[0].Own || b.losses[0].Own {
		t.Errorf("%+v, %+v", a.losses, b.losses)
	}
	x, older, err := tail.Encode(a.memberStatus())
	if v1, err1 := tail.Decode("a", 1, x[:older]); err != nil || err1 != nil || v1.GivenUp != nil {
		t.Errorf("release v0.1.0 is told %+v, %v, %v", v1.GivenUp, err, err1)
	}
	behind.move(2, 100) // another timeline, that began elsewhere
	b.Status()
	if b.AsksFirst(loss.Who{Name: "s9"}) {
		t.Error("a timeline that never had that WAL asks for it")
	}
}

// unasked is a store that streams through what is built after the node.
type unasked struct {
	*fakeStore
	t *testing.T
}

func (s unasked) Streams() (string, bool) {
	s.t.Error("the store is asked whether it streams before there is anything that could")
	return "", false
}

// TestStreamsIsNotAskedAtTheStart: the receiver is made after the node.
func TestStreamsIsNotAskedAtTheStart(t *testing.T) {
	if _, err := New(Options{Name: "a", Store: unasked{newFakeStore(100), t}}); err != nil {
		t.Fatal(err)
	}
}

// TestMadeAnewWaitsForTheMembers: a standby that is said to be made anew is asked nowhere any more. So the word is
// refused while a member has not said that it knows of the loss, or still has the lost WAL. An operator who insists is
// obeyed, and one who has forgotten that member is not asked.
func TestMadeAnewWaitsForTheMembers(t *testing.T) {
	b, n := openMember(t, t.TempDir(), "", "a"), openMember(t, t.TempDir(), "", "b")
	behind := b.o.Store.(*fakeStore)
	behind.idle = true
	if err := n.GiveUp(7, 1, 60, 90, nil, false); err != nil {
		t.Fatal(err)
	}
	refused := func(want string) {
		t.Helper()
		var u *UnreadyError
		if err := n.MadeAnew("s1", false); !errors.As(err, &u) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
		if !n.AsksFirst(loss.Who{Name: "s1"}) {
			t.Error("it is not asked any more")
		}
	}
	refused("b has heard which WAL was given up: start it")
	saysStatus(t, n, "b", link.Newest, b)
	refused("b has heard which WAL was given up: start it")
	saysStatus(t, b, "a", link.Newest, n)
	if err := b.saveLosses(); err != nil {
		t.Fatal(err)
	}
	saysStatus(t, n, "b", link.Newest, b)
	refused("b does not say that it has given that WAL up")
	behind.idle = false
	b.adoptLosses()
	saysStatus(t, n, "b", link.Newest, b)
	if err := n.MadeAnew("s1", false); err != nil || n.AsksFirst(loss.Who{Name: "s1"}) {
		t.Errorf("b has what was written instead: %v", err)
	}

	n = openMember(t, t.TempDir(), "", "b")
	if err := n.GiveUp(7, 1, 60, 90, nil, false); err != nil {
		t.Fatal(err)
	}
	if err := n.MadeAnew("s1", true); err != nil || n.AsksFirst(loss.Who{Name: "s1"}) {
		t.Errorf("forced: %v", err)
	}
	refusedAgain := n.MadeAnew("s2", false)
	if err := n.Forget("b"); err != nil {
		t.Fatal(err)
	}
	if err := n.MadeAnew("s2", false); err != nil || refusedAgain == nil {
		t.Errorf("b is forgotten: %v, before %v", err, refusedAgain)
	}
}
