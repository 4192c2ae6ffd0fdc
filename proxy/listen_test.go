package proxy_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy"
)

func TestListenNamesItsSocketAfterThePort(t *testing.T) {
	dir := t.TempDir()
	ls, err := proxy.Listen(t.Context(), []string{"unix:" + dir, "127.0.0.1:0", "unix:" + filepath.Join(dir, ".s.PGSQL.99")})
	if err != nil {
		t.Fatal(err)
	}
	port := ls[0].Addr().(*net.TCPAddr).Port
	for _, name := range []string{strconv.Itoa(port), "99"} {
		info, err := os.Stat(filepath.Join(dir, ".s.PGSQL."+name))
		if err != nil || info.Mode().Perm() != 0o777 {
			t.Errorf("%v, %v", info, err)
		}
	}
	for _, l := range ls {
		l.Close()
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	ls, err = proxy.Listen(t.Context(), []string{"unix:" + dir})
	if err != nil || !strings.HasSuffix(ls[0].Addr().String(), "/.s.PGSQL.6543") {
		t.Fatalf("%v, %v", ls, err)
	}
	ls[0].Close()
}

func TestListenReplacesOnlyDeadSockets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".s.PGSQL.6543")
	addr := []string{"unix:" + dir}
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	alive, err := proxy.Listen(t.Context(), addr)
	if err != nil {
		t.Fatalf("a dead socket is in the way: %v", err)
	}
	if _, err := proxy.Listen(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("over a living socket: %v", err)
	}
	alive[0].Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := proxy.Listen(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, addrs := range [][]string{
		{"127.0.0.1:0", l.Addr().String()}, {"nonsense"}, {"unix:/does/not/exist"}, {"unix:/" + strings.Repeat("x", 120)},
	} {
		if _, err := proxy.Listen(t.Context(), addrs); err == nil {
			t.Errorf("%q: no error", addrs)
		}
	}
}

// TestListenAsPostgreSQL: 0.0.0.0 is IPv4 alone, [::] IPv6 alone, a name is all that it leads to, and no host is both.
func TestListenAsPostgreSQL(t *testing.T) {
	answers := func(l net.Listener, host string) bool {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	v6, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatalf("this test takes IPv6 on loopback: %v", err)
	}
	v6.Close()
	for _, tc := range []struct {
		addr     string
		one, six bool
	}{
		{"0.0.0.0:0", true, false}, {"[::]:0", false, true}, {":0", true, true},
		{"127.0.0.1:0", true, false}, {"[::1]:0", false, true},
	} {
		ls, err := proxy.Listen(t.Context(), []string{tc.addr})
		if err != nil {
			t.Fatal(err)
		}
		if one, six := answers(ls[0], "127.0.0.1"), answers(ls[0], "::1"); one != tc.one || six != tc.six {
			t.Errorf("%s: IPv4 %v, IPv6 %v", tc.addr, one, six)
		}
		ls[0].Close()
	}
	found, err := net.DefaultResolver.LookupHost(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	ls, err := proxy.Listen(t.Context(), []string{"localhost:0"})
	if err != nil || len(ls) != len(found) {
		t.Fatalf("localhost is %v: %d listeners, %v", found, len(ls), err)
	}
	for _, l := range ls {
		if listener := l.(*proxy.Listener); listener.Address != "localhost:0" {
			t.Errorf("a listener of %q", listener.Address)
		}
		l.Close()
	}
}
