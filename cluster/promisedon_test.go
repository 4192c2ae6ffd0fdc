package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/tail"
)

// TestPromisedOfALaterTimeline: a member's store was emptied, and begins anew below a fork. It goes on saying what it had
// reported of the later timeline. That is no position of the one on which it is now, whatever it says of that later.
func TestPromisedOfALaterTimeline(t *testing.T) {
	n := openMember(t, "", "", "b")
	say := func(a tail.MemberStatus) {
		t.Helper()
		a.Node, a.System = "b", 7
		hears(t, n, "b", a)
	}
	say(tail.MemberStatus{Promised: 900, PromisedOn: 3})
	say(tail.MemberStatus{Timeline: 1, Flushed: 90, Complete: 90, Promised: 900, PromisedOn: 3})
	if one, three := ackedUpTo(n, 1), ackedUpTo(n, 3); one != 0 || three != 900 {
		t.Errorf("begun anew: %s of timeline 1 counts, %s of timeline 3", one, three)
	}
	if had := n.statuses.heard["b"].had; had != 90 {
		t.Errorf("it is taken to have had %s of timeline 1", had)
	}
	say(tail.MemberStatus{Timeline: 1, Flushed: 90, Complete: 90, Promised: 80}) // the rest was given up there
	if one, three := ackedUpTo(n, 1), ackedUpTo(n, 3); one != 80 || three != 900 {
		t.Errorf("%s of timeline 1 counts, %s of timeline 3", one, three)
	}
}
