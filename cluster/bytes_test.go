package cluster

import (
	"context"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// pairOf runs two linked members with a rule that s2, which b serves, satisfies; change prepares them.
func pairOf(t *testing.T, change func(a, b *linked)) (a, b *linked) {
	t.Helper()
	ida, idb := identitytest.Node(t, "a"), identitytest.Node(t, "b")
	m := identitytest.Members(t, ida, idb)
	a, b = newLinked(t, ida, m, "b", "ANY 1 (s2)", link.Newest), newLinked(t, idb, m, "a", "ANY 1 (s2)", link.Newest)
	*a.book = []link.Peer{{Name: "b", Addr: b.listener.Addr().String()}}
	*b.book = []link.Peer{{Name: "a", Addr: a.listener.Addr().String()}}
	change(a, b)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{a.listener.Run, b.listener.Run, a.link.Run, b.link.Run, a.Run, b.Run} {
		all.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	report(b.Node, b.Attach("s2"), 1, 90)
	return a, b
}

func (x *linked) store() *fakeStore { return x.o.Store.(*fakeStore) }

// bytesOf returns the comparison with another member's WAL.
func (x *linked) bytesOf(member string) ledger.Bytes {
	for _, b := range x.Status().Bytes {
		if b.Node == member {
			return b
		}
	}
	return ledger.Bytes{}
}

func counts(x *linked) func() bool {
	return func() bool { p, _ := x.Reportable(); return p.Flush == 90 }
}

// A hash that is not in memory is read, at either end.
func TestBytesFromDisk(t *testing.T) {
	a, _ := pairOf(t, func(a, b *linked) { a.store().cold.Store(true); b.store().cold.Store(true) })
	waitUntil(t, a, counts(a))
}

// Other bytes at the same positions count for nothing, prove nothing and are taken from nobody; a store that is made anew
// counts again.
func TestOtherBytes(t *testing.T) {
	a, b := pairOf(t, func(_, b *linked) { b.store().other.Store(1) })
	waitUntil(t, a, func() bool { return a.bytesOf("b").Differs != 0 })
	waitUntil(t, b, func() bool { return b.bytesOf("a").Differs != 0 })
	wantLimits(t, a.Node, 0, 0, 0)
	if !a.OtherWAL("b") || a.SameWAL("b") {
		t.Errorf("%+v", a.bytesOf("b"))
	}
	for _, n := range []*linked{a, b} {
		if _, err := n.Fence(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, a, func() bool {
		for _, r := range a.Tail(tail.Ask{}).Proxies {
			if r.Node == "b" {
				return r.Fenced == 1 && !r.Final
			}
		}
		return false
	})
	b.store().move(1, 500) // in numbers it has more
	waitUntil(t, a, func() bool {
		for _, r := range a.Tail(tail.Ask{}).Proxies {
			if r.Node == "b" && r.Received == 500 {
				return true
			}
		}
		return false
	})
	if from := a.TailFrom(); from != "" {
		t.Errorf("the tail is taken from %s", from)
	}
}

// A member that is ahead, and quiet, is asked for its hash where we are.
func TestAskWhoIsAhead(t *testing.T) {
	a, _ := pairOf(t, func(a, b *linked) { b.store().move(1, 5000) })
	waitUntil(t, a, func() bool { return a.bytesOf("b").Equal == 100 })
	wantLimits(t, a.Node, 90, 90, 90)
	if !a.SameWAL("b") {
		t.Errorf("%+v", a.bytesOf("b"))
	}
}

// The end of a segment lies inside a record: it is told when that record is complete, as its bytes may be replaced before.
func TestSealedUpToTheLastRecord(t *testing.T) {
	n := memberNode(t, "ANY 1 (s2)")
	const size = lsn.LSN(1 << 20)
	p := Positions{System: 7, Timeline: 1, Oldest: size, Received: 3*size + 10, Complete: 3*size - 50, SegSize: lsn.SegSize(size)}
	n.o.Store.(*fakeStore).move(1, p.Received)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names.sealed, n.names.seeded = []lsn.Print{{Timeline: 1, LSN: 2 * size, Sum: uint64(2 * size)}}, 1
	if n.seal(p); len(n.names.sealed) != 1 {
		t.Errorf("told of %v", n.names.sealed)
	}
	p.Complete = p.Received
	if n.seal(p); len(n.names.sealed) != 2 || n.names.sealed[1].LSN != 3*size {
		t.Errorf("told of %v", n.names.sealed)
	}
}

// A hash beyond the last complete record is not read; one that can't be read is not tried again at once. Both wait
// until the store moves or until the next look, and nothing spins meanwhile.
func TestHashesThatWait(t *testing.T) {
	for name, c := range map[string]struct {
		complete lsn.LSN // at first
		later    lsn.LSN
		bad      bool
	}{
		"beyond the last record":          {50, 50, false},
		"the last record went back":       {100, 50, false},
		"the disk gives nothing":          {100, 100, true},
		"nor beyond the last record":      {50, 50, true},
		"it gives nothing, and went back": {100, 50, true},
	} {
		n := memberNode(t, "ANY 1 (s2)")
		store := n.o.Store.(*fakeStore)
		store.cold.Store(true)
		store.bad.Store(c.bad)
		store.within(100, c.complete)
		n.Peers().Up("b", link.Newest)
		named := reportOf("b", 9)
		named.Bytes = lsn.Print{Timeline: 1, LSN: 90, Sum: 90}
		hears(t, n, "b", stateOf("b", "ANY 1 (s2)", 1, 9), named)
		n.mu.Lock()
		n.hearHashes("b", vote.Hashes{})
		n.mu.Unlock()
		_, _ = n.Reportable()
		store.within(100, c.later)
		for turns := 0; ; turns++ {
			if turns == 10 {
				t.Errorf("%s: it turns", name)
				break
			}
			select { // as Run and the reporter do
			case <-n.names.wanted:
				n.readHashes()
				n.publishHashes(false)
				continue
			case <-n.Changed():
				_, _ = n.Reportable()
				continue
			default:
			}
			break
		}
	}
}
