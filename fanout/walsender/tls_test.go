package walsender

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func tlsPair(t testing.TB) (server, client net.Conn) {
	server, client = tcpPair(t)
	pair := pgtest.NewAuthority(t, "test").Issue(t, pkix.Name{CommonName: "x"}).Pair
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{pair}})
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// blockedTLS is a sender whose standby does not read, in the middle of a write.
func blockedTLS(t *testing.T, timeout time.Duration) *standby {
	t.Helper()
	store := newFakeStore(t, base, 64<<20)
	store.receive(base + 64<<20)
	c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: timeout, conns: tlsPair})
	c.expect(copyBoth)
	last, looks := uint64(0), 0
	waitFor(t, "a write to block", func() bool {
		now := c.sender.Status().Bytes
		if looks++; now == 0 || now != last {
			looks = 0
		}
		last = now
		return looks == 50
	})
	return c
}

// TestTLSWriteIsNotInterrupted: what wakes a blocked write of a socket would cost a TLS connection. A
// standby that ends COPY, or a proxy that stops, while a message is under way gets it whole.
func TestTLSWriteIsNotInterrupted(t *testing.T) {
	c := blockedTLS(t, time.Minute)
	c.write('c', nil)
	waitFor(t, "CopyDone to be read", func() bool {
		c.sender.mu.Lock()
		defer c.sender.mu.Unlock()
		return c.sender.core.doneReceived
	})
	line := c.read()
	for line[0] == 'w' || line[0] == 'k' {
		line = c.read()
	}
	if line != `c ""` {
		t.Fatal(line)
	}
	if err := c.ended(); err != nil {
		t.Error(err)
	}

	c = blockedTLS(t, time.Minute)
	c.cancel(fmt.Errorf("shutdown: %w", ErrDrain))
	waitFor(t, "the drain", func() bool { return c.sender.Status().State == Stopping })
	if line := c.read(); line[0] != 'w' {
		t.Errorf("after the drain has begun: %s", line)
	}
}

// TestOnlySocketsResume: TLS may come within another type, as a link of the cluster does.
func TestOnlySocketsResume(t *testing.T) {
	for name, tc := range map[string]struct {
		pair func(testing.TB) (net.Conn, net.Conn)
		want bool
	}{"tcp": {tcpPair, true}, "unix": {unixPair, true}, "tls": {tlsPair, false}} {
		server, client := tc.pair(t)
		if got := newFrameWriter(server, nil, nil).resumable; got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
		if newFrameWriter(struct{ net.Conn }{server}, nil, nil).resumable {
			t.Errorf("%s within another type", name)
		}
		server.Close()
		client.Close()
	}
}

// TestTLSEndIsBounded: a session that has to end does so although its standby reads nothing.
func TestTLSEndIsBounded(t *testing.T) {
	c := blockedTLS(t, time.Minute)
	c.cancel(errors.New("bye"))
	if err := c.ended(); err == nil {
		t.Error("ended without a reason")
	}
}

// A standby that takes nothing for longer than wal_sender_timeout but replies is slow, and not dropped; as without TLS
// (trap K30). One that says nothing either is.
func TestSlowTLSStandbyReplies(t *testing.T) {
	const timeout = 2 * time.Second
	c := blockedTLS(t, timeout)
	for range 20 {
		c.reply(base, base, base, false)
		select {
		case <-c.done:
			t.Fatal(c.err)
		case <-time.After(timeout / 10):
		}
	}
	if line := c.read(); line[0] != 'w' {
		t.Fatal(line)
	}
	c = blockedTLS(t, timeout)
	if err := c.ended(); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
}
