package daemon

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/proxy/config"
)

// option reads an option of an accepted connection.
func option(t *testing.T, l net.Listener, level, name int) (value int) {
	t.Helper()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	raw, err := far.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestListenersAreAlike: http and cluster.bind have the system's keepalive, plain TCP, and one family for 0.0.0.0, as
// listen has.
func TestListenersAreAlike(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_keepalive_time")
	if err != nil {
		t.Fatal(err)
	}
	idle, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := openListeners(t.Context(), &config.Config{HTTP: "0.0.0.0:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	tcp, udp, err := listenCluster(t.Context(), "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	defer udp.Close()
	for name, l := range map[string]net.Listener{"http": d.http, "cluster.bind": tcp} {
		if got := option(t, l, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); got != idle {
			t.Errorf("%s: keepalive after %d s, not %d", name, got, idle)
		}
		if got := option(t, l, unix.SOL_SOCKET, unix.SO_PROTOCOL); got != unix.IPPROTO_TCP {
			t.Errorf("%s: protocol %d", name, got)
		}
		if at := l.Addr().(*net.TCPAddr); at.IP.To4() == nil {
			t.Errorf("%s is at %s", name, at)
		}
	}
	if at := udp.LocalAddr().(*net.UDPAddr); at.IP.To4() == nil || at.Port != tcp.Addr().(*net.TCPAddr).Port {
		t.Errorf("UDP is at %s", at)
	}
}
