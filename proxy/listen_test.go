package proxy_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
