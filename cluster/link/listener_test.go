package link

import (
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

// A member gets in while more connections than are held say nothing: it does not wait for their time-out.
func TestSilentCrowdAtTheListener(t *testing.T) {
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

// A health check of the port, which ends by FIN or by RST before it says anything, is no refused connection.
func TestHealthChecksAtTheListener(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	knock := func(reset bool, says string) {
		conn, err := net.Dial("tcp", b.addr)
		if err == nil {
			_, err = conn.Write([]byte(says))
		}
		if err != nil {
			t.Fatal(err)
		}
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
	for range 5 {
		knock(false, "")
		knock(true, "")
	}
	knock(false, "GET / HTTP/1.1\r\n\r\n")
	for end := time.Now().Add(time.Minute); b.Listener.Refused() == 0 && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	a.put(t, 1, 7, "through") // when that is, the listener has seen those before it
	a.phone.set(b.peer())
	b.phone.set(a.peer())
	b.book.wait(t, "item", func() bool { return b.book.items["proxy_a"][ID{1, 7}] == "through" })
	if n := b.Listener.Refused(); n != 1 {
		t.Errorf("%d refused, one has been", n)
	}
}

// A crowd pushes out its own connections. A connection of another address stays, however long it takes. One from an
// address of a known member stays even when each connection of the crowd has its own address.
func TestCrowdAtTheListenerPushesOutItsOwn(t *testing.T) {
	for _, addresses := range []int{1, 10 * maxHandshakes} {
		var h pendingHandshakes
		slow := &guest{ip: net.IPv4(10, 0, 0, 1)}
		leave := h.enter(slow)
		if addresses > 1 {
			leave(true)
			slow = &guest{ip: slow.ip}
			leave = h.enter(slow)
		}
		for i := range 10 * maxHandshakes {
			h.enter(&guest{ip: net.IPv4(10, 1, byte(i%addresses/256), byte(i%addresses))})
		}
		if slow.closed || h.conns.Len() > maxHandshakes {
			t.Errorf("%d addresses: closed %v, %d pending", addresses, slow.closed, h.conns.Len())
		}
		leave(true)
	}
}

type guest struct {
	net.Conn
	ip     net.IP
	closed bool
}

func (g *guest) RemoteAddr() net.Addr { return &net.TCPAddr{IP: g.ip} }
func (g *guest) Close() error         { g.closed = true; return nil }
