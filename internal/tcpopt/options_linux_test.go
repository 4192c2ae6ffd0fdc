package tcpopt

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// system returns the options that the system gives a connection by itself.
func system(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// options are SO_KEEPALIVE, idle, interval, count, user timeout and TCP_NODELAY of a connection, and its protocol.
func options(t *testing.T, c net.Conn) (all [7]int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for i, o := range [][2]int{{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, {unix.IPPROTO_TCP, unix.TCP_NODELAY},
			{unix.SOL_SOCKET, unix.SO_PROTOCOL}} {
			n, bad := unix.GetsockoptInt(int(fd), o[0], o[1])
			if bad != nil {
				t.Errorf("option %v: %v", o, bad)
			}
			all[i] = n
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBothEndsAsPostgreSQL: what the system has is what a connection has unless it is told otherwise, on both ends.
func TestBothEndsAsPostgreSQL(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	idle, interval, count := system(t, "keepalive_time"), system(t, "keepalive_intvl"), system(t, "keepalive_probes")
	for _, tc := range []struct {
		o    Options
		want [7]int
	}{
		{Options{}, [7]int{1, idle, interval, count, 0, 1, unix.IPPROTO_TCP}},
		{Options{Idle: 7 * time.Second}, [7]int{1, 7, interval, count, 0, 1, unix.IPPROTO_TCP}},
		{Options{Interval: 5 * time.Second, Count: 3}, [7]int{1, idle, 5, 3, 0, 1, unix.IPPROTO_TCP}},
		{Options{UserTimeout: 1500 * time.Millisecond}, [7]int{1, idle, interval, count, 1500, 1, unix.IPPROTO_TCP}},
		{Options{NoKeepAlive: true}, [7]int{0, idle, interval, count, 0, 1, unix.IPPROTO_TCP}},
	} {
		near, err := tc.o.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.o.Apply(far); err != nil {
			t.Error(err)
		}
		for end, c := range map[string]net.Conn{"dialled": near, "accepted": far} {
			if got := options(t, c); got != tc.want {
				t.Errorf("%+v, %s: %v, not %v", tc.o, end, got, tc.want)
			}
			_ = c.Close()
		}
	}
}

// TestUnixHasNoOptions: a unix socket is dialled and accepted as it is.
func TestUnixHasNoOptions(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := Options{Idle: time.Second, UserTimeout: time.Second}
	near, err := o.Dial(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := o.Apply(far); err != nil {
		t.Error(err)
	}
}
