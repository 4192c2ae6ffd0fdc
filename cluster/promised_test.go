package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// ackedUpTo is the highest position of a timeline of system 7 that n knows to be acknowledged.
func ackedUpTo(n *Node, on lsn.TimelineID) (at lsn.LSN) {
	all, _ := n.Known()
	for _, k := range all {
		if k.Acked && k.System == 7 && k.Timeline == on {
			at = max(at, k.LSN)
		}
	}
	return at
}

// A node that reported nothing itself must still not leave behind what a quorum had, nor what other members reported.
// That holds for each timeline, and for members that lost their store since. A member that was not heard yet is waited
// for.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openMember(t, "", "ANY 1 (s1, s2)", "b", "c")
		want := func(at lsn.LSN, unheard ...string) {
			t.Helper()
			got := ackedUpTo(n, n.o.Store.Positions().Timeline)
			if _, who := n.Known(); got != at || !slices.Equal(who.Members, unheard) || who.Alone {
				t.Errorf("%v, unheard %+v; want %v, %q", got, who, at, unheard)
			}
		}
		say := func(a tail.MemberStatus) {
			t.Helper()
			hears(t, n, a.Node, a)
		}
		want(0, "b", "c")
		say(tail.MemberStatus{Node: "c", System: 7, Timeline: 1, Flushed: 99, Promised: 40})
		want(40, "b")
		if err := n.Forget("b"); err != nil {
			t.Fatal(err)
		}
		want(40)
		say(tail.MemberStatus{Node: "b", System: 7, Timeline: 1, Flushed: 99, Promised: 50})
		want(50)
		say(tail.MemberStatus{Node: "b", System: 7, Timeline: 2, Flushed: 99, Promised: 70}) // it went another way
		say(tail.MemberStatus{Node: "c", System: 8, Timeline: 1, Flushed: 99, Promised: 70})
		want(50)
		if at := ackedUpTo(n, 2); at != 70 {
			t.Errorf("b has said %v of timeline 2", at)
		}

		hears(t, n, "c", stateOf("c", "ANY 1 (s1, s2)", 1, 9))
		hears(t, n, "c", reportOf("c", 9))
		want(90)
		hears(t, n, "c", stateOf("c", "ANY 1 (s1, s2)", 2)) // the session ended
		want(90)
		n.o.Store.(*fakeStore).move(2, 95)
		want(70) // of the new timeline b has said that

		n = openMember(t, "", "ANY 1 (s1, s2)", "b", "c")
		want(0, "b", "c")
		time.Sleep(n.o.Timeout) // both may be gone with the primary, and then an operator says so
		if _, who := n.Known(); !who.Alone || !slices.Equal(who.Members, []string{"b", "c"}) {
			t.Errorf("alone: %+v", who)
		}
		say(tail.MemberStatus{Node: "c", System: 7, Timeline: 1, Flushed: 99, Promised: 40})
		want(40) // b may be gone
		n = openMember(t, "", "ANY 1 (s1, s2)", "b")
		time.Sleep(n.o.Timeout)
		if err := n.Forget("b"); err != nil {
			t.Fatal(err)
		}
		want(0)
		n = openMember(t, "", "", "b")
		want(0)
	})
}

// What a member has, up to its last complete record, and had before its store was emptied.
func TestKnownOfAnEmptiedStore(t *testing.T) {
	n := openMember(t, "", "", "b")
	say := func(a tail.MemberStatus) {
		t.Helper()
		a.Node, a.System = "b", 7
		hears(t, n, "b", a)
	}
	want := func(all ...knownwal.Known) {
		t.Helper()
		if got, _ := n.Known(); !slices.Equal(got, all) {
			t.Errorf("%+v\nwant %+v", got, all)
		}
	}
	point := func(at lsn.LSN) lsn.Point { return lsn.Point{System: 7, Timeline: 1, LSN: at} }
	has := knownwal.Known{Point: point(88), By: "b", Complete: true}
	reported := knownwal.Known{Point: point(70), By: "b", Acked: true, Complete: true}
	say(tail.MemberStatus{Timeline: 1, Flushed: 90, Complete: 88, Promised: 70, Covered: 89}) // of WAL that it has not received
	covered := knownwal.Known{Point: point(89), By: "b", Acked: true}
	want(has, reported, covered)
	say(tail.MemberStatus{Timeline: 1, Flushed: 90, Complete: 89, Promised: 70, Covered: 75}) // by a status later it started anew
	has.LSN = 89
	want(has, reported, covered)
	say(tail.MemberStatus{Promised: 70, PromisedOn: 1})
	want(reported, has, reported, covered)
	for i := range lsn.TimelineID(2 * maxPast) {
		say(tail.MemberStatus{Timeline: 5 + i, Flushed: 90, Promised: 70})
	}
	if got, _ := n.Known(); len(got) != 1+maxPast {
		t.Errorf("%d are remembered", len(got))
	}
}

// TestAllThatWasStoredIsNoRecordsEnd: a member's store was emptied amid reports, and nobody knows how far they went. That
// is no position, by which a primary of the same timeline could have lost WAL. It ends when the member says one.
func TestAllThatWasStoredIsNoRecordsEnd(t *testing.T) {
	n := openMember(t, "", "", "b")
	for _, a := range []tail.MemberStatus{
		{Promised: allStored, PromisedOn: 1},
		{Timeline: 1, Flushed: 90, Complete: 88, Promised: allStored},
		{Timeline: 1, Flushed: 90, Complete: 88, Promised: 70},
	} {
		a.Node, a.System = "b", 7
		hears(t, n, "b", a)
		all, _ := n.Known()
		for _, k := range all {
			if k.Acked && (k.LSN != a.Promised || k.Timeline != 1 || k.Complete == (k.LSN == allStored)) {
				t.Errorf("%+v: %+v", a, k)
			}
		}
	}
}

// A member rounds the position that rules covered down to the end of a record, as far as it has the WAL. One that lags
// can't round it, and would refuse a server that has every record (ruling R36).
func TestCoveredEndsARecord(t *testing.T) {
	for name, c := range map[string]struct {
		received, complete, covered lsn.LSN
		bad                         bool
		says                        lsn.LSN
		ends                        bool
	}{
		"inside a record":          {100, 96, 90, false, 80, true},
		"at its end":               {100, 96, 96, false, 96, true},
		"in the last one":          {100, 96, 99, false, 96, true},
		"not received yet":         {100, 96, 101, false, 101, false},
		"nothing":                  {100, 96, 0, false, 0, false},
		"it can't be read":         {100, 96, 99, true, 99, false},
		"all that it has, rounded": {96, 96, 96, false, 96, true},
	} {
		a, b := openMember(t, "", "", "b"), openMember(t, "", "", "c")
		store := a.o.Store.(*fakeStore)
		store.long = 16
		store.bad.Store(c.bad)
		store.within(c.received, c.complete)
		a.mu.Lock()
		a.covered.note(1, lsn.Progress{Flush: c.covered})
		a.mu.Unlock()
		said := a.memberStatus()
		if said.Covered != c.says {
			t.Errorf("%s: it says %v, expected %v", name, said.Covered, c.says)
		}
		said.Node = "c"
		hears(t, b, "c", said)
		all, _ := b.Known()
		i := slices.IndexFunc(all, func(k knownwal.Known) bool { return k.Acked })
		if c.says != 0 && (i < 0 || all[i].LSN != c.says || all[i].Complete != c.ends) {
			t.Errorf("%s: known is %+v", name, all)
		}
	}
}
