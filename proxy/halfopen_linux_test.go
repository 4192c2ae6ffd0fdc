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
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy"
)

// vanish makes a connection silent both ways, as a machine that loses its power does. The client's end now signs its
// packets and drops unsigned ones (RFC 2385); the proxy's end drops signed ones. Unlike TCP_REPAIR and packet filters
// that needs no privilege.
func vanish(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	peer := c.RemoteAddr().(*net.TCPAddr).IP.To4()
	sig := unix.TCPMD5Sig{Addr: unix.SockaddrStorage{Family: unix.AF_INET}, Keylen: 1, Key: [80]byte{'k'}}
	copy(sig.Addr.Data[2:], peer) // behind the port of struct sockaddr_in
	err2 := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
	})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

// A client that vanished is found by keepalive; its session, its connection to the primary and, for
// a walsender, its handler end.
func TestHalfOpenClientIsCleanedUp(t *testing.T) {
	ended := make(chan struct{})
	keepAlive := tcpopt.Options{Idle: time.Second, Interval: time.Second, Count: 1}
	upstreamEnded := make(chan struct{})
	w := start(t, proxy.Options{Limits: proxy.Limits{TCP: keepAlive},
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
	pgtest.WaitFor(t, patience, "the line that says who broke", func() (bool, error) {
		return strings.Contains(w.log.String(), "client: read:"), nil
	})
}
