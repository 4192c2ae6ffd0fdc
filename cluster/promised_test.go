package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// What a node that reported nothing itself must not leave behind: what it sees a quorum have, and what other
// members said that they reported, on its timeline; a member that it has not heard yet is waited for.
func TestPromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openMember(t, "", "ANY 1 (s1, s2)", "b", "c")
		want := func(at lsn.LSN, unheard string) {
			t.Helper()
			if got, who := n.Promised(); got != at || who != unheard {
				t.Errorf("%v, unheard %q; want %v, %q", got, who, at, unheard)
			}
		}
		say := func(a tail.Account) {
			t.Helper()
			b, err := tail.Encode(a)
			if err == nil {
				err = n.Peers().Item(a.Node, link.Newest, link.ID{Kind: itemAccount}, b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want(0, "c") // the last of them
		say(tail.Account{Node: "c", System: 7, Timeline: 1, Flushed: 99, Promised: 40})
		want(40, "b")
		if err := n.Forget("b"); err != nil {
			t.Fatal(err)
		}
		want(40, "")
		say(tail.Account{Node: "b", System: 7, Timeline: 1, Flushed: 99, Promised: 50})
		want(50, "")
		say(tail.Account{Node: "b", System: 7, Timeline: 2, Flushed: 99, Promised: 70}) // it went another way
		say(tail.Account{Node: "c", System: 8, Timeline: 1, Flushed: 99, Promised: 70})
		want(0, "")

		if err := deliver(t, n, "c", stateOf("c", "ANY 1 (s1, s2)", 1, 9)); err != nil {
			t.Fatal(err)
		}
		if err := deliver(t, n, "c", reportOf("c", 9)); err != nil {
			t.Fatal(err)
		}
		want(90, "")
		if err := deliver(t, n, "c", stateOf("c", "ANY 1 (s1, s2)", 2)); err != nil { // the session ended
			t.Fatal(err)
		}
		want(90, "")
		n.o.Store.(*fakeStore).move(2, 95)
		want(70, "") // of the new timeline b has said that

		n = openMember(t, "", "ANY 1 (s1, s2)", "b")
		want(0, "b")
		time.Sleep(n.o.Timeout) // it may be gone with the primary
		want(0, "")
		n = openMember(t, "", "", "b")
		want(0, "")
	})
}
