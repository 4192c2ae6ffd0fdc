package hangup_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/hangup"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 20 * time.Second

// pair is a connection to ourselves.
func pair(t *testing.T, network string) (client, server net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// shake makes a TLS connection of a pair, whose first message has been read.
func shake(t *testing.T, client, server net.Conn, version uint16) (*tls.Conn, *tls.Conn) {
	t.Helper()
	cert := pgtest.NewAuthority(t, "test").Issue(t, pkix.Name{CommonName: "localhost"}, "localhost")
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert.Pair},
		SessionTicketsDisabled: true})
	shaken := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("startup"))
		shaken <- err
	}()
	if _, err := io.ReadFull(s, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return c, s
}

// watch collects the news until its stop is called.
func watch(conn net.Conn) (news chan hangup.News, stop func()) {
	news = make(chan hangup.News, 10)
	return news, hangup.Watch(conn, false, func(n hangup.News) { news <- n })
}

func expect(t *testing.T, news chan hangup.News, want hangup.News) {
	t.Helper()
	select {
	case n := <-news:
		if n != want {
			t.Fatalf("news %d, want %d", n, want)
		}
	case <-time.After(patience):
		t.Fatalf("no news %d", want)
	}
}

// Each way to leave, with and without bytes before it, and what is unread stays so.
func TestWatch(t *testing.T) {
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }
	for _, tc := range []struct {
		name, network, ahead string
		leave                func(net.Conn)
		want                 hangup.News
	}{
		{"closes", "tcp", "", func(c net.Conn) { c.Close() }, hangup.Closed},
		{"ends its side", "tcp", "", func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }, hangup.Closed},
		{"closes behind bytes", "tcp", "Q...", func(c net.Conn) { c.Close() }, hangup.Ended},
		{"ends its side behind bytes", "tcp", "Q...", func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }, hangup.Ended},
		{"resets", "tcp", "", reset, hangup.Gone},
		{"resets behind bytes", "tcp", "Q...", reset, hangup.Gone},
		{"closes a unix socket", "unix", "", func(c net.Conn) { c.Close() }, hangup.Gone},
		{"ends its side of a unix socket behind bytes", "unix", "Q...",
			func(c net.Conn) { c.(*net.UnixConn).CloseWrite() }, hangup.Ended},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, server := pair(t, tc.network)
			news, stop := watch(server)
			defer stop()
			if _, err := client.Write([]byte(tc.ahead)); err != nil {
				t.Fatal(err)
			}
			tc.leave(client)
			expect(t, news, tc.want)
			stop()
			stop()
			if tc.want == hangup.Ended {
				if b, err := io.ReadAll(server); string(b) != tc.ahead || err != nil {
					t.Errorf("%q, %v are left", b, err)
				}
			}
		})
	}
}

// One that only waits is there, whatever it sends, and can be read from afterwards.
func TestWatchOfTheLiving(t *testing.T) {
	client, server := pair(t, "tcp")
	for _, piece := range []string{"one", "two"} {
		news, stop := watch(server)
		if _, err := client.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		stop()
		b := make([]byte, len(piece))
		if _, err := io.ReadFull(server, b); string(b) != piece || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
		select {
		case n := <-news:
			t.Errorf("news %d of one who is there", n)
		default:
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	hangup.Watch(a, false, func(hangup.News) { t.Error("news of a pipe") })()
}

// After the end of its side the reset is heard too.
func TestWatchHearsGoneAfterEnded(t *testing.T) {
	client, server := pair(t, "tcp")
	news, stop := watch(server)
	defer stop()
	if _, err := client.Write([]byte("Q...")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	expect(t, news, hangup.Ended)
	if _, err := server.Write([]byte("answer")); err != nil { // to nobody: the kernel of the client says so
		t.Fatal(err)
	}
	expect(t, news, hangup.Gone)
}

// What has been read ahead waits for its answer as what is unread.
func TestWatchOfOneReadAhead(t *testing.T) {
	client, server := pair(t, "tcp")
	news := make(chan hangup.News, 10)
	defer hangup.Watch(server, true, func(n hangup.News) { news <- n })()
	client.Close()
	expect(t, news, hangup.Ended)
}

// The closing alert of TLS is no word that waits for an answer.
func TestWatchUnderTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, ahead := range []string{"", "Q\x00\x00\x00\x04"} {
			raw, accepted := pair(t, "tcp")
			client, server := shake(t, raw, accepted, version)
			news, stop := watch(server)
			want := hangup.Closed
			if ahead != "" {
				want = hangup.Ended
				if _, err := client.Write([]byte(ahead)); err != nil {
					t.Fatal(err)
				}
			}
			client.Close()
			expect(t, news, want)
			stop()
			if b, err := io.ReadAll(server); string(b) != ahead || err != nil {
				t.Errorf("version %x: %q, %v are left", version, b, err)
			}
		}
	}
}
