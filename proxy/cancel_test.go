package proxy_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

// A key goes to whoever issued it, an unknown one to the primary, and always as it came.
func TestCancelGoesToTheIssuer(t *testing.T) {
	long := strings.Repeat("k", 256)
	atPrimary, atEndpoint, virtual := make(chan []byte, 1), make(chan []byte, 1), make(chan struct{}, 1)
	server := scripted(t, func(c net.Conn) {
		p, err := readPacket(c)
		if err != nil {
			return
		}
		if bytes.HasPrefix(p[4:], packet(cxl, "")[4:]) {
			atPrimary <- p
			return
		}
		_, _ = c.Write(welcome(7, long))
		_, _ = readPacket(c)
	})
	up := proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
		u, err := server.Dial(ctx, 0)
		if err == nil {
			u.Cancel = func(_ context.Context, raw []byte) error { atEndpoint <- raw; return nil }
		}
		return u, err
	})
	pid := make(chan int32, 1)
	ended := make(chan struct{})
	w := start(t, proxy.Options{Upstream: up,
		Physical: handler(func(ctx context.Context, _ *handshake.Request, s *proxy.Session) error {
			withdraw := s.OnCancel([]byte("virt"), func() { virtual <- struct{}{} })
			pid <- s.PID()
			<-ended
			withdraw()
			withdraw()
			pid <- 0
			<-ctx.Done()
			return nil
		})})
	c := dial(t, w.tcp(), hello)
	c.expect('Z')

	known := packet(cxl, "\x00\x00\x00\x07"+long)
	dial(t, w.tcp(), known).expectEnd()
	if raw := <-atEndpoint; !bytes.Equal(raw, known) {
		t.Errorf("the endpoint got %q", raw)
	}
	for _, unknown := range [][]byte{
		packet(cxl, "\x00\x00\x00\x07wrong"), packet(cxl, "\x00\x00\x00\x08"+long), packet(cxl, "\x00\x00\x00\x07"+long[1:]),
	} {
		dial(t, w.tcp(), unknown).expectEnd()
		if raw := <-atPrimary; !bytes.Equal(raw, unknown) {
			t.Errorf("the primary got %q", raw)
		}
	}

	dial(t, w.tcp(), startup(v30, "user", "u", "replication", "1"))
	n := <-pid
	mine := packet(cxl, string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})+"virt")
	dial(t, w.tcp(), mine).expectEnd()
	<-virtual
	close(ended)
	<-pid
	dial(t, w.tcp(), mine).expectEnd() // withdrawn: the primary's now
	<-atPrimary

	c.Close()
	pgtest.WaitFor(t, patience, "the session's end", func() (bool, error) { return len(w.Sessions()) == 1, nil })
	dial(t, w.tcp(), known).expectEnd()
	<-atPrimary
}

// A flood of cancel requests opens few connections to the primary at a time, and drops its own. A request with a key
// that was issued here is delivered in its midst. So is one with another proxy's key from another address.
func TestCancelFloodIsBounded(t *testing.T) {
	const flood, running, waiting = 400, 3, 256 // one address has no more than 3 of 4 turns
	var mu sync.Mutex
	now, most, total := 0, 0, 0
	release := make(chan struct{})
	open := sync.OnceFunc(func() { close(release) })
	honest := make(chan string, 2)
	up := scripted(t, func(c net.Conn) {
		p, err := readPacket(c)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(p[4:], packet(cxl, "")[4:]) {
			_, _ = c.Write(welcome(7, "mine"))
			_, _ = readPacket(c)
			return
		}
		if key := string(p[len(p)-4:]); key != "keys" {
			honest <- key
			return
		}
		mu.Lock()
		now++
		total++
		most = max(most, now)
		mu.Unlock()
		<-release
		mu.Lock()
		now--
		mu.Unlock()
	})
	t.Cleanup(open) // before the script's end is waited for
	w := start(t, proxy.Options{Upstream: up, Access: rules(t, "host all all all trust")})
	session := dial(t, w.tcp(), hello)
	session.expect('Z')
	var ended atomic.Int64
	var readers sync.WaitGroup
	for range flood {
		c := dial(t, w.tcp(), packet(cxl, "\x00\x00\x00\x01keys"))
		readers.Go(func() {
			_, _ = c.Read(make([]byte, 1))
			ended.Add(1)
		})
	}
	pgtest.WaitFor(t, patience, "the flood's own to be dropped", func() (bool, error) {
		return ended.Load() == flood-running-waiting, nil
	})
	dial(t, w.tcp(), packet(cxl, "\x00\x00\x00\x07mine")).expectEnd()
	if key := <-honest; key != "mine" {
		t.Errorf("the primary got %q", key)
	}
	stranger := dialFrom(t, "127.0.0.9", w.tcp(), packet(cxl, "\x00\x00\x00\x01else"))
	pgtest.WaitFor(t, patience, "room for it", func() (bool, error) { return ended.Load() == flood-running-waiting+1, nil })
	open()
	stranger.expectEnd()
	if key := <-honest; key != "else" {
		t.Errorf("the primary got %q", key)
	}
	readers.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most > running+1 || total > running+waiting+1 {
		t.Errorf("%d at a time, %d in total", most, total)
	}
	if n := strings.Count(w.log.String(), "cancel request not delivered"); n == 0 || n > 30 {
		t.Errorf("%d lines in the log", n)
	}
}
