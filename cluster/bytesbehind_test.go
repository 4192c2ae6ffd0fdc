package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestHashesOfRemovedSegments: a member lags behind the oldest segment of this store. The hashes of segments that were told
// to the others are at hand all the same, on the timeline on which they were told.
func TestHashesOfRemovedSegments(t *testing.T) {
	const size = lsn.LSN(1 << 20)
	n := memberNode(t, "ANY 1 (s2)")
	store := n.o.Store.(*fakeStore)
	store.cold.Store(true)
	store.bad.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for end := 2 * size; end <= 4*size; end += size {
		n.names.sealed = append(n.names.sealed, lsn.Print{Timeline: 1, LSN: end, Sum: uint64(end)})
	}
	n.names.seeded = 1
	store.move(1, 5*size)
	own := n.localWAL(store.Positions())
	for at, want := range map[lsn.LSN]bool{size: false, 2 * size: true, 3*size - 1: false, 3 * size: true, 4 * size: true, 5 * size: false} {
		if sum, ok := own.HashAt(1, at); ok != want || ok && sum != uint64(at) {
			t.Errorf("%s: %d, %t", at, sum, ok)
		}
	}
	if _, ok := own.HashAt(2, 3*size); ok {
		t.Error("it is of timeline 1")
	}
	store.move(2, 5*size)
	if _, ok := n.localWAL(store.Positions()).HashAt(1, 3*size); ok {
		t.Error("the store may have left it")
	}
}

// TestHashesOfALeftTimeline: a hash that was read says nothing once the store has left its timeline, perhaps below it. A
// member that has the old WAL is not equal up to there.
func TestHashesOfALeftTimeline(t *testing.T) {
	const size = lsn.LSN(1 << 20)
	n := memberNode(t, "ANY 1 (s2)")
	store := n.o.Store.(*fakeStore)
	store.cold.Store(true)
	store.move(1, 3*size)
	n.Peers().Up("b", link.Newest)
	list := []lsn.Print{{Timeline: 1, LSN: 2 * size, Sum: uint64(2 * size)}}
	hear := func() {
		n.mu.Lock()
		n.hearHashes("b", vote.Hashes{Oldest: size, Prints: list})
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
