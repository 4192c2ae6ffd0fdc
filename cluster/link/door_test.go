package link

import (
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

// A member gets in while more connections than are held say nothing: it does not wait for their time-out.
func TestSilentCrowdAtTheDoor(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	for range 2 * maxHandshakes {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	began := time.Now()
	a.put(t, 1, 7, "through")
	a.phone.set(b.peer())
	b.phone.set(a.peer())
	b.book.wait(t, "item", func() bool { return b.book.items["proxy_a"][ID{1, 7}] == "through" })
	if took := time.Since(began); took > handshakeTimeout {
		t.Errorf("it came after %v", took)
	}
}
