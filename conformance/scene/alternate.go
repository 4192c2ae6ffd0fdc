package scene

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Alternate returns a port behind which connections go to the proxies in turn, as behind a load balancer, and how many
// each got.
func Alternate(t *testing.T, to []*pgtest.Proxy) (port int, counts func() []int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	n := make([]int, len(to))
	wg.Go(func() {
		for turn := 0; ; turn++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			i := turn % len(to)
			mu.Lock()
			n[i]++
			mu.Unlock()
			wg.Go(func() { forward(client, fmt.Sprintf("127.0.0.1:%d", to[i].Port)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(n)
	}
}

// forward copies both ways until both have ended.
func forward(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	one := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(*net.TCPConn).CloseWrite()
	}
	wg.Go(func() { one(server, client) })
	one(client, server)
	wg.Wait()
}
