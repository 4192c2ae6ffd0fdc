package relay

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

const (
	// poolTimeout is a client's connect_timeout, poolDelay its pause before it tries again.
	poolTimeout, poolDelay = 5 * time.Second, time.Second
	// poolRatio bounds the delay of the last client against a direct connection; the allowance is for a machine whose
	// cores the clients share with both servers.
	poolRatio, poolAllowance = 1.3, time.Second
	// poolLimit is the time after which a crowd counts as not coming back. Where logging in takes longer than a
	// client's patience, all of them give up and try again for ever. Through the proxy that must not happen.
	poolLimit = 2 * time.Minute
)

// TestPoolsReturn: an outage ends when the primary is back, for the last of the clients that time out and try again as
// for the first. REPLPROXY_POOLS (sizes, such as "20 60 200 1000") makes it the long run that compares medians of five
// with the same clients without a proxy.
func TestPoolsReturn(t *testing.T) {
	sizes, rounds, down := []int{40}, 1, 2*poolDelay
	if text := os.Getenv("REPLPROXY_POOLS"); text != "" {
		sizes, rounds, down = nil, 5, 12*time.Second
		for _, word := range strings.Fields(text) {
			n, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, n)
		}
	} else {
		t.Parallel()
	}
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings(fmt.Sprint("max_connections = ", slices.Max(sizes)+50)))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	for _, n := range sizes {
		median := map[int]time.Duration{}
		for _, port := range []int{primary.Port, proxy.Port} {
			var last []time.Duration
			for range rounds {
				took, all := lastBack(t, primary, port, n, down)
				if !all && port == proxy.Port {
					t.Fatalf("not all of %d clients are back within %s", n, poolLimit)
				}
				t.Logf("port %d: %d clients back: %v, after %s", port, n, all, took)
				if last = append(last, took); !all {
					break // nor would they another time
				}
			}
			slices.Sort(last)
			median[port] = last[len(last)/2]
		}
		direct, through := median[primary.Port], median[proxy.Port]
		t.Logf("soak: pools of %d: last back after %.1f s, direct %.1f s", n, through.Seconds(), direct.Seconds())
		if rounds > 1 && through > time.Duration(poolRatio*float64(direct))+poolAllowance {
			t.Errorf("pools of %d: the last is back after %s, direct %s", n, through, direct)
		}
	}
}

// lastBack stops the primary, lets n clients try to log in at a port until they are in, and starts it again after a
// while. It returns how long after that the last one was in; false: not all were within poolLimit.
func lastBack(t *testing.T, primary *pgtest.Server, port, n int, down time.Duration) (time.Duration, bool) {
	t.Helper()
	primary.Stop(t, pgtest.Fast)
	back := make([]time.Time, n)
	end := make(chan struct{})
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			for !logIn(port) {
				select {
				case <-end:
					return
				case <-time.After(poolDelay):
				}
			}
			back[i] = time.Now()
		})
	}
	<-time.After(down)
	primary.Start(t)
	up := time.Now()
	all := make(chan struct{})
	go func() { clients.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(poolLimit):
		close(end)
		<-all
		return poolLimit, false
	}
	return max(0, slices.MaxFunc(back, time.Time.Compare).Sub(up)), true
}

// logIn reports whether a log-in begins within the client's patience.
func logIn(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", port), poolTimeout)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(poolTimeout))
	_, _ = io.WriteString(conn, "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil || first[0] != 'R' {
		return false
	}
	_, _ = conn.Write([]byte{'X', 0, 0, 0, 4})
	return true
}
