package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// secured are options with a certificate, and what a client trusts.
func secured(t *testing.T) (Options, *tls.Config) {
	t.Helper()
	c := pgtest.NewAuthority(t, "test").Issue(t, pkix.Name{CommonName: "db"}, "db")
	server := &tls.Config{Certificates: []tls.Certificate{c.Pair}, NextProtos: []string{ALPN}}
	return Options{TLS: func() *tls.Config { return server }}, &tls.Config{InsecureSkipVerify: true}
}

type accepted struct {
	r   *Request
	err error
}

func accepting(t *testing.T, server net.Conn, o Options) <-chan accepted {
	done := make(chan accepted, 1)
	go func() { r, err := Accept(t.Context(), server, o); done <- accepted{r, err} }()
	return done
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// upgraded asks for TLS and begins it.
func upgraded(t *testing.T, client net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	send(t, client, packet(codeSSL, ""))
	expect(t, client, "S")
	secure := tls.Client(client, config)
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	return secure
}

func TestAcceptSwitchesToTLS(t *testing.T) {
	o, trust := secured(t)
	for _, direct := range []bool{false, true} {
		client, server := pair(t)
		done := accepting(t, server, o)
		var secure *tls.Conn
		if direct {
			config := trust.Clone()
			config.NextProtos = []string{ALPN}
			secure = tls.Client(client, config)
		} else {
			send(t, client, packet(codeGSSENC, ""))
			expect(t, client, "N")
			secure = upgraded(t, client, trust)
		}
		if direct { // encryption inside of encryption is refused, as PostgreSQL does
			send(t, secure, packet(codeSSL, ""))
			expect(t, secure, "N")
		}
		send(t, secure, append(startup(v30, "user", "u"), "Q\x00\x00\x00\x05\x00"...))
		got := <-done
		if got.err != nil || got.r.User() != "u" || got.r.SawSSLRequest == false {
			t.Fatalf("direct %v: %+v", direct, got)
		}
		if _, ok := got.r.Conn.(*tls.Conn); !ok {
			t.Fatalf("direct %v: the request's connection is a %T", direct, got.r.Conn)
		}
		if !bytes.Equal(got.r.Certificate, secure.ConnectionState().PeerCertificates[0].Raw) {
			t.Error("another certificate than the client saw")
		}
		expect(t, got.r.Conn, "Q\x00\x00\x00\x05\x00")
		send(t, got.r.Conn, []byte("R"))
		expect(t, secure, "R")
	}
}

// A request for encryption that was accepted forbids every other one.
func TestAcceptOneEncryptionOnly(t *testing.T) {
	o, trust := secured(t)
	for _, again := range []uint32{codeSSL, codeGSSENC} {
		client, server := pair(t)
		done := accepting(t, server, o)
		secure := upgraded(t, client, trust)
		send(t, secure, packet(again, ""))
		expect(t, secure, "E")
		var refused *RefusedError
		if got := <-done; !errors.As(got.err, &refused) || refused.Err.Code != pgerror.FeatureNotSupported {
			t.Errorf("%d: %v", again, got.err)
		}
	}
}

// TestAcceptThrowsClearBytesAway: what somebody put in clear behind the request never becomes part of
// the session; the client hears of it within TLS, as from PostgreSQL.
func TestAcceptThrowsClearBytesAway(t *testing.T) {
	o, trust := secured(t)
	client, server := pair(t)
	send(t, client, append(packet(codeSSL, ""), startup(v30, "user", "mallory")...))
	done := accepting(t, server, o)
	expect(t, client, "S")
	secure := tls.Client(client, trust)
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 400)
	n, _ := secure.Read(answer)
	if !bytes.Contains(answer[:n], []byte("received unencrypted data after SSL request")) {
		t.Errorf("answer %q", answer[:n])
	}
	var refused *RefusedError
	if got := <-done; !errors.As(got.err, &refused) || refused.Err.Code != pgerror.ProtocolViolation {
		t.Errorf("%v", got.err)
	} else if _, ok := refused.Conn.(*tls.Conn); !ok {
		t.Errorf("refused over %T", refused.Conn)
	}
}

func TestAcceptDirectTLSNeedsALPN(t *testing.T) {
	o, trust := secured(t)
	for _, protocols := range [][]string{nil, {"h2"}} {
		client, server := pair(t)
		done := accepting(t, server, o)
		config := trust.Clone()
		config.NextProtos = protocols
		err := tls.Client(client, config).Handshake()
		got := <-done
		if protocols == nil && !errors.Is(got.err, ErrNoALPN) || protocols != nil && (err == nil || got.err == nil) {
			t.Errorf("%v: %v, client %v", protocols, got.err, err)
		}
	}
}

// TestAcceptTLSHostile: what is no TLS ends the connection at once, and what is half of it at the timeout.
func TestAcceptTLSHostile(t *testing.T) {
	o, _ := secured(t)
	huge := []byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff} // a ClientHello of 16 MB, as it says
	huge = append(huge, make([]byte, 1<<14-4)...)
	for name, bytes := range map[string][]byte{
		"startup packet": startup(v30, "user", "u"), "alert": {21, 3, 3, 0, 2, 2, 40}, "huge": huge,
		"record too long": {22, 3, 3, 0xff, 0xff, 1}, "SSL 2": {0x80, 0x2e, 1, 0, 2},
		"old version": append([]byte{22, 3, 0, 0, 41, 1, 0, 0, 37, 3, 0}, make([]byte, 35)...),
	} {
		client, server := pair(t)
		done := accepting(t, server, o)
		send(t, client, packet(codeSSL, ""))
		expect(t, client, "S")
		send(t, client, bytes)
		if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "could not accept SSL connection") {
			t.Errorf("%s: %v", name, got.err)
		}
	}
}

func TestAcceptTLSTimesOut(t *testing.T) {
	o, _ := secured(t)
	for _, half := range [][]byte{packet(codeSSL, ""), {0x16, 3, 1}} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			defer server.Close()
			o.AuthenticationTimeout = time.Second
			done := accepting(t, server, o)
			for _, b := range half {
				if _, err := client.Write([]byte{b}); err != nil {
					t.Error(err)
				}
			}
			if half[0] != 0x16 {
				expect(t, client, "S")
				if _, err := client.Write([]byte{0x16, 3}); err != nil {
					t.Error(err)
				}
			}
			began := time.Now()
			if got := <-done; !errors.Is(got.err, ErrTimeout) || time.Since(began) > time.Second {
				t.Errorf("%v after %v", got.err, time.Since(began))
			}
		})
	}
}

// A unix socket has no TLS.
func TestAcceptNoTLSOverUnixSockets(t *testing.T) {
	o, _ := secured(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, direct := range []bool{false, true} {
		client, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := accepting(t, server, o)
		if direct {
			send(t, client, []byte{0x16})
		} else {
			send(t, client, packet(codeSSL, ""))
			expect(t, client, "N")
		}
		client.Close()
		if got := <-done; got.err == nil || direct != errors.Is(got.err, ErrDirectTLS) {
			t.Errorf("direct %v: %v", direct, got.err)
		}
		server.Close()
	}
}
