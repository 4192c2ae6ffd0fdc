package cluster

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestAhead: a member has more WAL than this one when it can be reached and says so of the same system and timeline.
func TestAhead(t *testing.T) {
	a := memberNode(t, "ANY 1 (s1)")
	own := a.o.Store.Positions()
	status := func(system lsn.SystemID, tli lsn.TimelineID, at lsn.LSN) {
		t.Helper()
		s := tail.MemberStatus{Node: "b", System: system, Timeline: tli, Received: at, Flushed: at}
		if err := deliver(t, a, "b", s); err != nil {
			t.Fatal(err)
		}
	}
	status(own.System, own.Timeline, own.Received+10)
	if got := a.Ahead(own.Received); got != nil {
		t.Errorf("%q are ahead, and b can't be reached", got)
	}
	hears(t, a, "b", stateOf("b", "ANY 1 (s1)", 1))
	if got := a.Ahead(own.Received); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%q are ahead", got)
	}
	if got := a.Ahead(own.Received + 10); got != nil {
		t.Errorf("%q are ahead, and b has as much", got)
	}
	fenced := tail.MemberStatus{
		Node: "b", System: own.System, Timeline: own.Timeline, Received: own.Received + 10, Fenced: own.Timeline,
	}
	if err := deliver(t, a, "b", fenced); err != nil {
		t.Fatal(err)
	}
	if got := a.Ahead(own.Received); got != nil {
		t.Errorf("%q are ahead, and no standby votes at b, which is fenced", got)
	}
	for _, c := range []struct {
		system lsn.SystemID
		tli    lsn.TimelineID
	}{{own.System + 1, own.Timeline}, {own.System, own.Timeline + 1}} {
		status(c.system, c.tli, own.Received+10)
		if got := a.Ahead(own.Received); got != nil {
			t.Errorf("%q are ahead, by WAL of system %s, timeline %s", got, c.system, c.tli)
		}
	}
}
