package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestWaits: a rule stays while the primary names a proxy of the cluster.
func TestWaits(t *testing.T) {
	for setting, waits := range map[string]bool{
		"": false, "s1": false, "ANY 1 (s1, s2)": false, "a": true, "FIRST 1 (s1, B)": true, "ANY 2 (*)": true, "ANY (": false,
	} {
		if err := Waits(setting, []string{"a", "b"}); (err != nil) != waits {
			t.Errorf("%q: %v", setting, err)
		}
	}
}

// TestFenceable: a fence above every timeline that is known would hold for servers to come.
func TestFenceable(t *testing.T) {
	s := newFakeStore(100)
	s.move(2, 100)
	n := newNode(t, "", s)
	for timeline, c := range map[lsn.TimelineID]struct{ seen1, seen3 bool }{1: {true, true}, 2: {true, true}, 3: {false, true}, 4: {false, false}} {
		if (n.Fenceable(timeline, 1) == nil) != c.seen1 || (n.Fenceable(timeline, 3) == nil) != c.seen3 {
			t.Errorf("timeline %d: %v, %v", timeline, n.Fenceable(timeline, 1), n.Fenceable(timeline, 3))
		}
	}
}
