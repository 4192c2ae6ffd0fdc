package link

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

// Members of every two message versions talk with each other, in the highest that both speak (ruling R39).
func TestVersionsTalk(t *testing.T) {
	for older := Oldest; older <= Newest; older++ {
		na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
		m := identitytest.Members(t, na, nb)
		a, b := startOf(t, na, m, older), start(t, nb, m)
		for _, p := range []*proxy{a, b} {
			err := p.Outbox.PutLonger(ID{1, 7}, func(b []byte) ([]byte, int, error) {
				return append(b, "known and more"...), len("known"), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			p.put(t, 1, 8, "same")
		}
		a.phone.set(b.peer())
		b.phone.set(a.peer())
		want := "known"
		if older > Oldest {
			want = "known and more"
		}
		for _, x := range []struct {
			at   *proxy
			from string
		}{{b, "proxy_a"}, {a, "proxy_b"}} {
			x.at.book.wait(t, "items", func() bool {
				items := x.at.book.items[x.from]
				return items[ID{1, 7}] == want && items[ID{1, 8}] == "same" && x.at.book.version == older
			})
			if p := x.at.Status().Peers[0]; p.Version != older || p.Strange != "" {
				t.Errorf("version %d: status %+v", older, p)
			}
		}
		a.stop()
		b.stop()
	}
}

// A member of a release that is too far away is named, from either side.
func TestForeignMember(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), startListener(t, nb, m, "replproxy-link/99")
	a.phone.set(Peer{"proxy_b", b})
	deadline := time.After(longWait)
	for a.Status().Peers[0].Strange == "" {
		select {
		case <-deadline:
			t.Fatalf("not named: %+v", a.Status())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What a Sink does not understand is in the status until everything was understood.
func TestStrangeIsNamed(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	b.book.refuse = "nonsense"
	a.put(t, 1, 1, "nonsense")
	a.phone.set(b.peer())
	strange := func(want bool) {
		t.Helper()
		deadline := time.After(longWait)
		for (b.Status().Peers[0].Strange != "") != want {
			select {
			case <-deadline:
				t.Fatalf("want %v: %+v", want, b.Status())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	strange(true)
	a.put(t, 1, 1, "sense")
	strange(false)
}

// startListener is a listener that serves one protocol, to nobody's use; it gives its address.
func startListener(t *testing.T, n *identity.Node, m *identity.Members, protocol string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := NewListener(l, n, m, identitytest.Logger(t))
	listener.Handle(protocol, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = listener.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String()
}
