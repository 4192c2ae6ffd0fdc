package gossip

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// memberlist's Shutdown does not wait for a probe in progress, which lasts a probe interval.
	var leak error
	for range 10 {
		if leak = goleak.Find(); leak == nil {
			break
		}
	}
	if leak != nil && code == 0 {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

const longWait = 60 * time.Second

func newKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

func keyFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gossip.key")
	writeKeys(t, path, lines...)
	return path
}

func writeKeys(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

type proxy struct {
	*Gossip
	listener *link.Listener
	stop     func()
}

// start runs one proxy on a free port that TCP and UDP both have.
func start(t *testing.T, n *identity.Node, m *identity.Members, keys string, join ...string) *proxy {
	t.Helper()
	return startAt(t, usual(), n, m, keys, join...)
}

func startAt(t *testing.T, at pace, n *identity.Node, m *identity.Members, keys string, join ...string) *proxy {
	t.Helper()
	k, err := ReadKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	log := identitytest.Logger(t).With("node", n.Name)
	var listener *link.Listener
	var packets net.PacketConn
	for packets == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if packets, err = net.ListenPacket("udp", l.Addr().String()); err != nil {
			_ = l.Close()
			continue
		}
		listener = link.NewListener(l, n, m, log)
	}
	g, err := New(Options{Node: n, Members: m, Listener: listener, Packets: packets, Join: join, Keys: k, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	g.pace = at
	ctx, cancel := context.WithCancel(context.Background())
	dctx, dcancel := context.WithCancel(context.Background())
	var gone, closed sync.WaitGroup
	closed.Go(func() { _ = listener.Run(dctx) })
	gone.Go(func() { _ = g.Run(ctx) })
	p := &proxy{Gossip: g, listener: listener, stop: func() { cancel(); gone.Wait(); dcancel(); closed.Wait() }}
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// wait waits until exactly these members are live.
func (p *proxy) wait(t *testing.T, names ...string) {
	t.Helper()
	deadline := time.After(longWait)
	want := strings.Join(names, " ")
	for {
		var have []string
		for _, peer := range p.Live() {
			have = append(have, peer.Name)
		}
		if strings.Join(have, " ") == want {
			return
		}
		select {
		case <-p.Changed():
		case <-deadline:
			t.Fatalf("%s sees %q, want %q", p.Node.Name, have, want)
		}
	}
}

// Three proxies find each other by one seed, one leaves and comes back.
func TestMembership(t *testing.T) {
	na, nb, nc := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b"), identitytest.Node(t, "proxy_c")
	m, keys := identitytest.Members(t, na, nb, nc), keyFile(t, newKey())
	a := start(t, na, m, keys)
	b := start(t, nb, m, keys, a.addr())
	c := start(t, nc, m, keys, a.addr())
	a.wait(t, "proxy_b", "proxy_c")
	b.wait(t, "proxy_a", "proxy_c")
	c.wait(t, "proxy_a", "proxy_b")
	if got := a.Live()[0].Addr; got != b.addr() {
		t.Errorf("proxy_b is at %q, want its listener %q", got, b.addr())
	}
	c.stop()
	a.wait(t, "proxy_b")
	b.wait(t, "proxy_a")
	start(t, nc, m, keys, a.addr())
	b.wait(t, "proxy_a", "proxy_c")
}

// A proxy that was killed is back at another address before the others have taken it for dead. They see it there soon
// after they have, although it sees all of them and asks for nothing.
func TestBackElsewhere(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m, keys := identitytest.Members(t, na, nb), keyFile(t, newKey())
	quick := usual()
	quick.probe, quick.probeTimeout, quick.reclaim = 200*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond
	a := startAt(t, quick, na, m, keys) // which has no seeds
	b := startAt(t, quick, nb, m, keys, a.addr())
	a.wait(t, "proxy_b")
	_ = b.transport.Shutdown() // so nobody hears its good-bye
	b.stop()
	back := startAt(t, quick, nb, m, keys, a.addr())
	back.wait(t, "proxy_a")
	began := time.Now()
	for len(a.Live()) == 0 || a.Live()[0].Addr != back.addr() {
		if time.Since(began) > longWait/3 { // the library's exchanges take 30 s to a minute
			t.Fatalf("proxy_a sees %v, not %s", a.Live(), back.addr())
		}
		select {
		case <-a.Changed():
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Logf("after %v", time.Since(began))
}

// The gossip key alone opens nothing, nor does a node key without the gossip key.
func TestStrangers(t *testing.T) {
	na, nb, nx := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b"), identitytest.Node(t, "proxy_b")
	m, keys := identitytest.Members(t, na, nb), keyFile(t, newKey())
	a := start(t, na, m, keys)
	stranger := start(t, nx, identitytest.Members(t, na, nx), keys, a.addr())
	deaf := start(t, nb, m, keyFile(t, newKey()), a.addr())
	deadline := time.After(longWait)
	for a.listener.Refused() == 0 {
		select {
		case <-deadline:
			t.Fatal("the stranger was not refused")
		case <-time.After(10 * time.Millisecond):
		}
	}
	for _, p := range []*proxy{a, stranger, deaf} {
		if live := p.Live(); len(live) != 0 {
			t.Errorf("%s sees %v", p.Node.Name, live)
		}
	}
}

// Keys are replaced while proxies run; the old one opens nothing afterwards.
func TestRotation(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m, first, second := identitytest.Members(t, na, nb), newKey(), newKey()
	pa, pb := keyFile(t, first), keyFile(t, first)
	a := start(t, na, m, pa)
	b := start(t, nb, m, pb, a.addr())
	a.wait(t, "proxy_b")
	b.wait(t, "proxy_a") // or it had nobody to say good-bye to, and would have to be found dead
	for _, lines := range [][]string{{first, second}, {second, first}, {"# the new one", second}} {
		for path, p := range map[string]*proxy{pa: a, pb: b} {
			writeKeys(t, path, lines...)
			if err := p.Keys.Reload(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.stop()
	a.wait(t)
	deaf := start(t, nb, m, keyFile(t, first), a.addr())
	again := deaf.Live()
	deaf.stop()
	if len(again) != 0 {
		t.Error("the old key still opens")
	}
	start(t, nb, m, pb, a.addr())
	a.wait(t, "proxy_b")
}

func TestReadKeys(t *testing.T) {
	good := newKey()
	for name, tt := range map[string]struct{ content, want string }{
		"short":    {base64.StdEncoding.EncodeToString(make([]byte, 15)), "line 1: not 16, 24 or 32 bytes"},
		"garbage":  {good + "\n???", "line 2: not"},
		"empty":    {"\n# nothing\n", "no key in it"},
		"too many": {strings.Repeat(good+"\n", maxKeys+1), "at most 16"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadKeys(keyFile(t, tt.content))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "???") {
				t.Errorf("error %v, want %q and no content", err, tt.want)
			}
		})
	}
	path := keyFile(t, good)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err == nil || !strings.Contains(err.Error(), "group or world access") {
		t.Errorf("a secret that all may read: %v", err)
	}
}

func TestAdvertised(t *testing.T) {
	any4 := &net.TCPAddr{IP: net.IPv4zero, Port: 7946}
	one := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7946}
	for _, tt := range []struct {
		addr      string
		own       *net.TCPAddr
		want, err string
	}{
		{"", one, "10.0.0.1:7946", ""},
		{"127.0.0.2:99", any4, "127.0.0.2:99", ""},
		{"", any4, "", "cluster.advertise"},
		{"10.0.0.1", any4, "", "missing port"},
		{"10.0.0.1:http", any4, "", "port"},
	} {
		ip, port, err := advertised(tt.addr, tt.own)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: %v, want %q", tt.addr, err, tt.err)
			}
		case err != nil || (&net.TCPAddr{IP: ip, Port: port}).String() != tt.want:
			t.Errorf("%q: %v %d, %v", tt.addr, ip, port, err)
		}
	}
}
