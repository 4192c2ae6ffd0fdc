package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// What a member says of itself unasked is some seconds old while WAL streams in. Before a node follows another timeline
// it asks, and what was reported until then is in the answer. A member of the release before has no answer.
func TestAskMembers(t *testing.T) {
	for version := link.Oldest; version <= link.Newest; version++ {
		ida, idb := identitytest.Node(t, "a"), identitytest.Node(t, "b")
		m := identitytest.Members(t, ida, idb)
		a, b := newLinked(t, ida, m, "b", "ANY 1 (s1)", link.Newest), newLinked(t, idb, m, "a", "ANY 1 (s1)", version)
		*a.book, *b.book = []link.Peer{{Name: "b", Addr: b.listener.Addr().String()}}, []link.Peer{{Name: "a", Addr: a.listener.Addr().String()}}
		var promised atomic.Uint64
		promised.Store(40)
		b.o.Details = func() Details {
			return Details{Timeline: 1, Begin: 10, Promised: lsn.Point{Timeline: 1, LSN: lsn.LSN(promised.Load())}}
		}
		knows := func(at lsn.LSN) bool {
			known, _ := a.Known()
			return slices.ContainsFunc(known, func(k knownwal.Known) bool { return k.By == "b" && k.Acked && k.LSN == at })
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, run := range []func(context.Context) error{a.listener.Run, b.listener.Run, a.link.Run, b.link.Run, a.Run, b.Run} {
			all.Go(func() { _ = run(ctx) })
		}
		waitUntil(t, a, func() bool { return knows(40) })
		for at := uint64(50); at <= 90; at += 10 {
			promised.Store(at)
			a.Ask(ctx)
			if version >= answers && !knows(lsn.LSN(at)) {
				t.Fatalf("version %d: b has reported %v, and a asked since", version, lsn.LSN(at))
			}
		}
		cancel()
		all.Wait()
	}
}

// Nobody is waited for who can't be reached.
func TestAskNobody(t *testing.T) {
	n := memberNode(t, "ANY 1 (s1)")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Ask(ctx)
	if n.open(n.asking.num) {
		t.Error("a member that was never heard is waited for")
	}
}
