package tcpopt

import "testing"

func TestLoopbackOnly(t *testing.T) {
	for address, want := range map[string]bool{
		":6543": false, "0.0.0.0:1": false, "127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "unix:/run": true,
		"db1:1": false, "10.0.0.1:1": false,
	} {
		if got := LoopbackOnly([]string{"127.0.0.1:2", address}); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
