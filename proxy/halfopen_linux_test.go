package proxy_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
)

// vanish ends a connection without a word to the peer, as a machine that loses its power does:
// a socket in repair mode is closed without FIN or RST.
func vanish(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var repair error
	if err := raw.Control(func(fd uintptr) {
		repair = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1)
	}); err != nil {
		t.Fatal(err)
	}
	if errors.Is(repair, unix.EPERM) {
		t.Skip("TCP_REPAIR needs CAP_NET_ADMIN")
	}
	if repair != nil {
		t.Fatal(repair)
	}
	c.Close()
}

// A client that vanished is found by keepalive; its session, its connection to the primary and, for
// a walsender, its handler end.
func TestHalfOpenClientIsCleanedUp(t *testing.T) {
	ended := make(chan struct{})
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 1}
	upstreamEnded := make(chan struct{})
	w := start(t, proxy.Options{KeepAlive: keepAlive,
		Upstream: scripted(t, func(c net.Conn) { greeting(c); close(upstreamEnded) }),
		Physical: handler(func(_ context.Context, r *handshake.Request, _ *proxy.Session) error {
			defer close(ended)
			_, err := r.Conn.Read(make([]byte, 1))
			return err
		})})
	standby := dial(t, w.tcp(), startup(v30, "user", "u", "replication", "1"))
	regular := dial(t, w.tcp(), hello)
	regular.expect('Z')
	pgtest.WaitFor(t, patience, "two sessions", func() (bool, error) { return len(w.Sessions()) == 2, nil })
	vanish(t, standby.Conn)
	vanish(t, regular.Conn)
	<-ended
	<-upstreamEnded
	pgtest.WaitFor(t, patience, "the sessions' end", func() (bool, error) { return len(w.Sessions()) == 0, nil })
	if !strings.Contains(w.log.String(), "client: read:") {
		t.Error("the log does not say who broke")
	}
}
