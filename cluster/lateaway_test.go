package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestMemberIsCutOff: a member had spoken and is cut off, with the old primary perhaps, when this node's store leaves
// the timeline. What it has reported since is told, also after a restart here, as long as it is the same run of it. One
// that died says after its start all that it had stored, nearly always more than it reported: that is not told.
func TestMemberIsCutOff(t *testing.T) {
	const rule = "ANY 1 (s1)"
	for name, c := range map[string]struct {
		run       uint64 // of the member before and after
		now       uint64
		answers   bool // it answers the question before the timeline is left
		restarted bool // this node was, since
		late      bool
	}{
		"it went on":                 {5, 5, false, false, true},
		"it went on, and we started": {5, 5, false, true, true},
		"it died, and is back":       {5, 6, false, false, false},
		"both were restarted":        {5, 6, false, true, false},
		"it was there":               {5, 5, true, false, false},
		"of release v0.1.0":          {0, 0, false, false, false},
	} {
		dir := t.TempDir()
		n := openMember(t, dir, rule, "b")
		hear := func(run, boot uint64, at lsn.LSN) {
			t.Helper()
			s := stateOf("b", rule, 1)
			s.Run, s.Boot = run, boot
			n.Peers().Up("b", link.Newest)
			hears(t, n, "b", s)
			a := tail.MemberStatus{Node: "b", System: 7, Timeline: 1, Flushed: 99, Promised: at}
			if c.answers {
				a.Answers = map[string]uint64{"a": 3}
			}
			hears(t, n, "b", a)
		}
		n.asking.num = 3
		hear(c.run, 1, 40)
		if err := n.LeaveTimeline(1); err != nil {
			t.Fatal(err)
		}
		if c.restarted {
			n = openMember(t, dir, rule, "b")
		}
		boot := uint64(1)
		if c.now != c.run {
			boot++
		}
		hear(c.now, boot, 90)
		late := false
		all, _ := n.Known()
		for _, k := range all {
			late = late || k.Late && k.LSN == 90
		}
		if late != c.late {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestRunComesWithTheState: a member's status may come before the State that says which run it is. Whose words it holds
// is not known until then.
func TestRunComesWithTheState(t *testing.T) {
	const rule = "ANY 1 (s1)"
	n := openMember(t, t.TempDir(), rule, "b")
	s := stateOf("b", rule, 1)
	s.Run = 5
	late := func(what string, want bool) {
		t.Helper()
		if all, _ := n.Known(); len(all) == 0 || all[0].Late != want {
			t.Errorf("%s: %+v", what, all)
		}
	}
	hears(t, n, "b", s)
	says(t, n, "b", 1, 40)
	if err := n.LeaveTimeline(1); err != nil {
		t.Fatal(err)
	}
	n.Peers().Down("b")
	n.Peers().Up("b", link.Newest)
	says(t, n, "b", 1, 90)
	late("its run is not known", false)
	hears(t, n, "b", s)
	late("it is the same", true)
	if n.Peers().Down("b"); n.late["b"].run != 5 {
		t.Errorf("%+v", n.late)
	}
	late("it is away again", true)
}
