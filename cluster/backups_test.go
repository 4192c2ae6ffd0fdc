package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
)

// TestBackupsAreTold: a member is asked, and says which base backups run through it now, whatever it said before. Of two
// questions at a time each is answered. One of the release before is not asked.
func TestBackupsAreTold(t *testing.T) {
	for version := link.Oldest; version <= link.Newest; version++ {
		ida, idb := identitytest.Node(t, "a"), identitytest.Node(t, "b")
		m := identitytest.Members(t, ida, idb)
		a, b := newLinked(t, ida, m, "b", "ANY 1 (s1)", link.Newest), newLinked(t, idb, m, "a", "ANY 1 (s1)", version)
		*a.book, *b.book = []link.Peer{{Name: "b", Addr: b.listener.Addr().String()}}, []link.Peer{{Name: "a", Addr: a.listener.Addr().String()}}
		var running atomic.Pointer[[]string]
		running.Store(&[]string{"x"})
		b.o.Details = func() Details { return Details{Timeline: 1, Begin: 10, Backups: *running.Load()} }
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, run := range []func(context.Context) error{a.listener.Run, b.listener.Run, a.link.Run, b.link.Run, a.Run, b.Run} {
			all.Go(func() { _ = run(ctx) })
		}
		waitUntil(t, a, func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			_, said := a.statuses.heard["b"]
			return said
		})
		for range 5 {
			for _, c := range []struct {
				running []string
				backsUp bool
			}{{[]string{"s1", "x"}, true}, {[]string{"x"}, false}} {
				running.Store(&c.running)
				var both sync.WaitGroup
				for range 2 {
					both.Go(func() {
						if got := a.BacksUp(ctx, "s1"); got != (c.backsUp && version >= answers) {
							t.Errorf("version %d: b says %v, and a is told %t", version, c.running, got)
						}
					})
				}
				both.Wait()
			}
		}
		cancel()
		all.Wait()
	}
	n := memberNode(t, "ANY 1 (s1)") // whose members were never heard
	if n.BacksUp(t.Context(), "s1") {
		t.Error("nobody says so")
	}
}
