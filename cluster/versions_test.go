package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// linked is a node with links, in message versions up to newest.
type linked struct {
	*Node
	link     *link.Link
	listener *link.Listener
	book     *addressBook
}

// addressBook is a link.Directory that does not change once Run has begun.
type addressBook []link.Peer

func (a *addressBook) Live() []link.Peer        { return *a }
func (a *addressBook) Changed() <-chan struct{} { return nil }

func newLinked(t *testing.T, id *identity.Node, m *identity.Members, other, rule string, newest int,
	change ...func(*Options),
) *linked {
	t.Helper()
	outbox := link.NewOutbox()
	o := Options{
		Name: id.Name, Members: []string{other}, Rule: vote.RuleText{Names: rule}, Store: newFakeStore(100), Outbox: outbox,
		Timeout: time.Minute, Details: func() Details { return Details{Timeline: 1, Begin: 10, Promised: lsn.Point{LSN: 40}} },
	}
	for _, f := range change {
		f(&o)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := identitytest.Logger(t)
	x := &linked{Node: n, listener: link.NewListener(l, id, m, log), book: &addressBook{}}
	x.link = link.New(link.Options{
		Node: id, Members: m, Listener: x.listener, Directory: x.book, Outbox: outbox, Sink: n.Peers(), Logger: log, Version: newest,
	})
	return x
}

// A quorum over members of every two message versions: the votes, rules and statuses of each reach the other.
func TestQuorumOverTwoVersions(t *testing.T) {
	for older := link.Oldest; older <= link.Newest; older++ {
		ida, idb := identitytest.Node(t, "a"), identitytest.Node(t, "b")
		m := identitytest.Members(t, ida, idb)
		a, b := newLinked(t, ida, m, "b", "ANY 2 (s1, s2)", older), newLinked(t, idb, m, "a", "ANY 2 (s1, s2)", link.Newest)
		*a.book, *b.book = []link.Peer{{Name: "b", Addr: b.listener.Addr().String()}}, []link.Peer{{Name: "a", Addr: a.listener.Addr().String()}}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, run := range []func(context.Context) error{a.listener.Run, b.listener.Run, a.link.Run, b.link.Run, a.Run, b.Run} {
			all.Go(func() { _ = run(ctx) })
		}
		report(a.Node, a.Attach("s1"), 1, 80)
		report(b.Node, b.Attach("s2"), 1, 90)
		for _, n := range []*linked{a, b} {
			waitUntil(t, n, func() bool { p, _ := n.Reportable(); return p.Flush == 80 })
			waitUntil(t, n, func() bool {
				for _, row := range n.Tail(tail.Ask{}).Proxies {
					if row.Promised != 40 {
						return false
					}
				}
				return true
			})
			if c := n.Status().Confirmation; len(c.Missing) > 0 {
				t.Errorf("version %d: %s is not confirmed by %v", older, n.o.Name, c.Missing)
			}
		}
		cancel()
		all.Wait()
	}
}

func waitUntil(t *testing.T, n *linked, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-n.Changed():
		case <-deadline:
			t.Fatalf("%s: %+v\n%+v", n.o.Name, n.Status(), n.link.Status())
		}
	}
}
