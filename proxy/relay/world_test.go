package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// sockets are two ends of one connection; b is the server's where network is tls.
func sockets(t *testing.T, network string) (a, b net.Conn) {
	t.Helper()
	if network == "tls" {
		a, b = sockets(t, "tcp")
		pair := pgtest.NewAuthority(t, "test").Issue(t, pkix.Name{CommonName: "x"}).Pair
		server := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{pair}})
		client := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		if err := errors.Join(client.Handshake(), <-done); err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return a, b
}

// wrapped is no socket to the relay, as a TLS connection is none.
type wrapped struct{ net.Conn }

func (w wrapped) CloseWrite() error {
	return w.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// engine runs for the length of the test.
func engine(t *testing.T) *Engine {
	t.Helper()
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("engine: %v", err)
		}
	})
	return e
}

// session is a relay between a client and a primary that the test plays.
type session struct {
	client, primary net.Conn
	o               Options
	result          chan error
}

// run starts a relay; change may adjust its options.
func run(t *testing.T, ctx context.Context, clientNet, upstreamNet string, change func(*Options)) *session {
	t.Helper()
	client, near := sockets(t, clientNet)
	far, primary := sockets(t, upstreamNet)
	_ = near.SetDeadline(time.Time{})
	_ = far.SetDeadline(time.Time{})
	s := &session{client: client, primary: primary, result: make(chan error, 1), o: Options{
		Client: near, Upstream: &Upstream{Conn: far, Name: "primary"}, Startup: []byte("startup!"),
		LoginTimeout: patience, Trusted: true,
	}}
	if change != nil {
		change(&s.o)
	}
	go func() {
		err := Run(ctx, s.o)
		s.o.Client.Close()
		s.result <- err
	}()
	return s
}

// login plays a primary that lets the client in, and a client that sees it.
func (s *session) login(t *testing.T) {
	t.Helper()
	s.expect(t, s.primary, "startup!")
	all := append(frame('R', u32(0)), frame('Z', "I")...)
	s.send(t, s.primary, string(all))
	s.expect(t, s.client, string(all))
}

func (s *session) send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func (s *session) expect(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got[:n], err, text)
	}
}

// end waits for the relay.
func (s *session) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.result:
		return err
	case <-time.After(patience):
		t.Fatal("the relay does not end")
		return nil
	}
}

func frame(typ byte, body string) []byte { return wire.AppendFrame(nil, typ, []byte(body)) }

func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
