package walreceiver

import (
	"context"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// TestInboundDoesNotAllocate: WAL moves from the socket's buffer into the store without garbage.
func TestInboundDoesNotAllocate(t *testing.T) {
	msg := append(xlog(0, strings.Repeat("x", 8192)), keepalive(8192, false)...)
	src := &repeat{msg: msg}
	in := &inbound{conn: Over(&upstream.Session{Reader: wire.NewReader(src, 16<<10)}), store: &nullStore{buf: make([]byte, 8192)}, live: newLive(new(totals))}
	ctx := context.Background()
	n := testing.AllocsPerRun(1000, func() {
		in.expected = 0
		for range 2 {
			if err := in.step(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 0 {
		t.Errorf("%v allocations for a message", n)
	}
}
