package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// echo sends all bytes back.
func echo(c net.Conn) { io.Copy(c, c) }

func ping(t *testing.T, rc *RawConn) {
	t.Helper()
	if _, err := io.WriteString(rc, "hello"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(rc, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestDialRawPlain(t *testing.T) {
	port := peer(t, echo)
	c := config(t, conninfoFor(port, "sslmode=disable"))
	rc, err := c.DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, ok := rc.Conn.(*net.TCPConn); !ok || rc.TLS {
		t.Errorf("a plain connection must be the socket itself, not %T", rc.Conn)
	}
	ping(t, rc)
}

func TestDialRawUnixSocket(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	rc, err := config(t, "host="+dir).DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, ok := rc.Conn.(*net.UnixConn); !ok {
		t.Errorf("got %T", rc.Conn)
	}
}

func TestDialRawServerWithoutTLS(t *testing.T) {
	connections := make(chan struct{}, 10)
	port := peer(t, func(c net.Conn) {
		connections <- struct{}{}
		if sslRequest(c, "N") {
			echo(c)
		}
	})
	rc, err := config(t, conninfoFor(port, "sslmode=prefer")).DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if rc.TLS || rc.Endpoint.TLS() {
		t.Error("the server has no TLS")
	}
	ping(t, rc)
	if n := len(connections); n != 1 {
		t.Errorf("%d connections for one: 'N' goes on with the same", n)
	}
	_, err = config(t, conninfoFor(port, "sslmode=require")).DialRaw(t.Context())
	if !errors.Is(err, errNoTLS) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("require: %v", err)
	}
}

func TestDialRawTLSPresentsNothingOfOurs(t *testing.T) {
	server, client := selfSigned(t), selfSigned(t)
	states := make(chan tls.ConnectionState, 1)
	var direct atomic.Bool
	port := peer(t, func(c net.Conn) {
		if !direct.Load() && !sslRequest(c, "S") {
			return
		}
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert,
			NextProtos: []string{"postgresql"}})
		if secure.Handshake() != nil {
			return
		}
		states <- secure.ConnectionState()
		echo(secure)
	})
	certFile, keyFile := writePair(t, client)
	for _, extra := range []string{
		"sslmode=prefer", "sslmode=require", "sslmode=require sslnegotiation=direct",
		"sslmode=require sslcert=" + certFile + " sslkey=" + keyFile,
	} {
		direct.Store(strings.Contains(extra, "direct"))
		rc, err := config(t, conninfoFor(port, extra)).DialRaw(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		ping(t, rc)
		if st := <-states; !rc.TLS || len(st.PeerCertificates) != 0 || st.Version < tls.VersionTLS12 {
			t.Errorf("%s: TLS %v, %d client certificates, version %x", extra, rc.TLS, len(st.PeerCertificates), st.Version)
		}
		rc.Close()
	}
	direct.Store(false)
	_, err := config(t, conninfoFor(port, "sslmode=verify-full sslrootcert="+certFile)).DialRaw(t.Context())
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("a certificate of a stranger: %v", err)
	}
}

func writePair(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "k")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestDialRawGarbage(t *testing.T) {
	for _, answer := range []string{"E", "\x00", "H"} {
		port := peer(t, func(c net.Conn) { sslRequest(c, answer) })
		_, err := config(t, conninfoFor(port, "sslmode=require")).DialRaw(t.Context())
		if err == nil || !strings.Contains(err.Error(), "SSLRequest") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestDialRawSilentServer(t *testing.T) {
	release := make(chan struct{})
	port := peer(t, func(c net.Conn) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := config(t, conninfoFor(port, "sslmode=require")).DialRaw(ctx)
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestDialRawOrder(t *testing.T) {
	first, second := make(chan struct{}, 9), make(chan struct{}, 9)
	p1 := peer(t, func(c net.Conn) { first <- struct{}{} })
	p2 := peer(t, func(c net.Conn) { second <- struct{}{} })
	dead := pgtest.FreePort(t)
	c := config(t, "host=127.0.0.1,127.0.0.1,127.0.0.1 sslmode=disable port="+join(dead, p1, p2))
	dial := func() Endpoint {
		rc, err := c.DialRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
		return rc.Endpoint
	}
	if e := dial(); int(e.Port) != p1 {
		t.Errorf("without a current endpoint the first that answers: %+v", e)
	}
	<-first
	c.SetCurrent(c.Endpoints()[2])
	if e := dial(); int(e.Port) != p2 {
		t.Errorf("current first: %+v", e)
	}
	<-second
	c.SetCurrent(c.Endpoints()[0])
	if e := dial(); int(e.Port) != p1 {
		t.Errorf("current is dead, so on in order: %+v", e)
	}
	<-first
}

func TestConnectErrorNamesEveryEndpoint(t *testing.T) {
	p1, p2 := pgtest.FreePort(t), pgtest.FreePort(t)
	c := config(t, "host=127.0.0.1,127.0.0.1,/nonexistent sslmode=prefer port="+join(p1, p2, 5432))
	_, err := c.DialRaw(t.Context())
	var ce *ConnectError
	if !errors.As(err, &ce) || len(ce.Attempts) != 3 {
		t.Fatalf("%v: a refused address is tried once, not once per sslmode variant", err)
	}
	for _, want := range []string{"port " + join(p1), "port " + join(p2), "refused", "/nonexistent/.s.PGSQL.5432"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q", err, want)
		}
	}
}

func TestCancelSendsBytesUnchanged(t *testing.T) {
	got := make(chan []byte, 1)
	port := peer(t, func(c net.Conn) { got <- readStartup(c) })
	raw := append([]byte{0, 0, 0, 20, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 9}, "key45678"...)
	c := config(t, conninfoFor(port, "sslmode=disable"))
	if err := c.Cancel(t.Context(), c.Endpoints()[0], raw); err != nil {
		t.Fatal(err)
	}
	if b := <-got; string(b) != string(raw[4:]) {
		t.Errorf("%x", b)
	}
	dead := config(t, conninfoFor(pgtest.FreePort(t), "sslmode=disable"))
	if err := dead.Cancel(t.Context(), dead.Endpoints()[0], raw); err == nil {
		t.Error("no server, no error")
	}
}
