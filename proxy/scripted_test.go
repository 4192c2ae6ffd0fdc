package proxy_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
)

// scripted is a server on a TCP port whose connections follow a script, each in its own goroutine.
// They end with the test.
func scripted(t *testing.T, script func(net.Conn)) proxy.Dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			all.Go(func() { defer c.Close(); script(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return dialTo("tcp", l.Addr().String())
}

// readPacket reads one packet of the startup phase.
func readPacket(c net.Conn) ([]byte, error) {
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b)-4)...)
	_, err := io.ReadFull(c, b[4:])
	return b, err
}

// welcome is AuthenticationOk, BackendKeyData and ReadyForQuery.
func welcome(pid uint32, key string) []byte {
	b := wire.AppendFrame(nil, 'R', []byte{0, 0, 0, 0})
	b = wire.AppendFrame(b, 'K', append(binary.BigEndian.AppendUint32(nil, pid), key...))
	return wire.AppendFrame(b, 'Z', []byte{'I'})
}

// greeting lets everybody in and then echoes.
func greeting(c net.Conn) {
	if _, err := readPacket(c); err != nil {
		return
	}
	if _, err := c.Write(welcome(7, "keys")); err == nil {
		_, _ = io.Copy(c, c)
	}
}

// client is a connection to the server under test.
type client struct {
	net.Conn
	t *testing.T
	r *wire.Reader
}

func dial(t *testing.T, addr string, first []byte) *client {
	t.Helper()
	return dialFrom(t, "127.0.0.1", addr, first)
}

// dialFrom is dial from another address of this machine.
func dialFrom(t *testing.T, from, addr string, first []byte) *client {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	return &client{c, t, wire.NewReader(c, 4096)}
}

// expect reads frames until one of a type, whose body it returns.
func (c *client) expect(typ byte) []byte {
	c.t.Helper()
	for {
		h, err := c.r.Next()
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", typ, err)
		}
		body, err := c.r.Body(h.Size, 1<<16)
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", typ, err)
		}
		if h.Type == typ {
			return body
		}
		if h.Type == 'E' {
			e, _ := wire.ParseError(body)
			c.t.Fatalf("waiting for %q: %v", typ, e)
		}
	}
}

// expectError reads an ErrorResponse and the end of the connection.
func (c *client) expectError(code pgerror.Code) *pgerror.Error {
	c.t.Helper()
	h, err := c.r.Next()
	for err == nil && h.Type != 'E' {
		if err = c.r.Discard(h.Size); err == nil {
			h, err = c.r.Next()
		}
	}
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", code, err)
	}
	body, err := c.r.Body(h.Size, 1<<16)
	if err != nil {
		c.t.Fatal(err)
	}
	e, ok := wire.ParseError(body)
	if !ok || e.Code != code || !e.IsFatal() {
		c.t.Fatalf("got %+v, want FATAL %s", e, code)
	}
	c.expectEnd()
	return e
}

// expectEnd reads the end of the connection, in order or by a reset.
func (c *client) expectEnd() {
	c.t.Helper()
	if h, err := c.r.Next(); err == nil {
		c.t.Fatalf("a frame of type %q instead of the end", h.Type)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatal("the connection does not end")
	}
}
