package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
)

// TestAfford: a store without space withdraws its vote, and votes again with more space than that.
func TestAfford(t *testing.T) {
	n := newNode(t, "ANY 1 (proxy, s1)", newFakeStore(100))
	for i, c := range []struct {
		free, voted int64
		withdrawn   bool
	}{
		{100, 1000, false},
		{49, 0, false}, // nothing is kept for votes
		{49, 1000, true},
		{99, 1000, true}, // not enough to begin again
		{100, 1000, false},
		{49, 1000, true},
		{49, 0, false}, // standbys have flushed it
	} {
		n.Afford(ledger.Space{Known: true, Free: c.free, MinFree: 100, Voted: c.voted, Segment: 16}, 1)
		if n.Withdrawn() != c.withdrawn {
			t.Errorf("look %d: %+v, withdrawn %t", i, c, n.Withdrawn())
		}
	}
}
