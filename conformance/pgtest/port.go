package pgtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports come from below the range that the kernel gives to outgoing connections, so that a server
// which is down for a moment finds its port free again.
const (
	firstPort = 20000
	lastPort  = 32000
)

// maxPortTries bounds the search for a free port; a machine with that many taken has another problem.
const maxPortTries = 500

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on and that no other caller of
// FreePort, in this process or another, is given before the test ends. Nothing listens on it yet.
func FreePort(t testing.TB) int {
	t.Helper()
	for range maxPortTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		// The claim is an abstract unix socket: the kernel frees it when this process ends.
		claim, err := net.Listen("unix", fmt.Sprintf("@replproxy-pgtest-port-%d", port))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			_ = claim.Close()
			continue
		}
		_ = probe.Close()
		t.Cleanup(func() { _ = claim.Close() })
		return port
	}
	t.Fatalf("no free port between %d and %d in %d tries", firstPort, lastPort, maxPortTries)
	return 0
}
