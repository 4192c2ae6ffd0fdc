package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestHashesOfALeftTimeline: a hash that was read says nothing once the store has left its timeline, perhaps below that
// position: a member that has the old WAL is not equal up to there.
func TestHashesOfALeftTimeline(t *testing.T) {
	const size = lsn.LSN(1 << 20)
	n := memberNode(t, "ANY 1 (s2)")
	store := n.o.Store.(*fakeStore)
	store.cold.Store(true)
	store.move(1, 3*size)
	n.Peers().Up("b", link.Newest)
	list := []compare.Pair{{Timeline: 1, At: 2 * size, Sum: uint64(2 * size)}}
	hear := func() {
		n.mu.Lock()
		n.hearHashes("b", vote.Hashes{Oldest: size, Pairs: list})
		n.mu.Unlock()
		_, _ = n.Reportable()
	}
	equal := func() lsn.LSN { n.mu.Lock(); defer n.mu.Unlock(); return n.ledger.Bytes()[0].Equal }
	hear()
	n.readHashes()
	if _, _ = n.Reportable(); equal() != 2*size {
		t.Fatalf("equal up to %s", equal())
	}
	store.bad.Store(true)
	store.move(2, 4*size)
	if hear(); equal() != lsn.Invalid {
		t.Errorf("on timeline 2 equal up to %s", equal())
	}
}
