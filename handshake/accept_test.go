package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a TCP connection to ourselves.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestAcceptReadsExactlyThePacket(t *testing.T) {
	client, server := pair(t)
	first := startup(v32, "user", "u", "replication", "true", "application_name", "s1")
	behind := []byte("Q\x00\x00\x00\x09behind")
	send(t, client, append(bytes.Clone(first), behind...))
	r, err := Accept(t.Context(), server, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Class != PhysicalWalsender || r.Minor != 2 || r.ApplicationName() != "s1" || !bytes.Equal(r.Raw, first) {
		t.Fatalf("request %+v", r)
	}
	got := make([]byte, len(behind))
	if _, err := io.ReadFull(r.Conn, got); err != nil || !bytes.Equal(got, behind) {
		t.Fatalf("behind the packet: %q, %v", got, err)
	}
}

func TestAcceptAnswersNo(t *testing.T) {
	client, server := pair(t)
	type result struct {
		r   *Request
		err error
	}
	done := make(chan result, 1)
	go func() { r, err := Accept(t.Context(), server, Options{}); done <- result{r, err} }()
	for _, p := range [][]byte{packet(codeGSSENC, ""), packet(codeSSL, "")} {
		send(t, client, p)
		var answer [1]byte
		if _, err := io.ReadFull(client, answer[:]); err != nil || answer[0] != 'N' {
			t.Fatalf("answer %q, %v", answer, err)
		}
	}
	send(t, client, startup(v30, "user", "u"))
	got := <-done
	if got.err != nil || got.r.Class != Regular || !got.r.SawSSLRequest || !got.r.SawGSSENCRequest {
		t.Fatalf("%+v, %v", got.r, got.err)
	}
}

// Bytes that wait behind an encryption request were sent too early, whatever they are.
func TestAcceptRefusesBytesBehindAnEncryptionRequest(t *testing.T) {
	for name, p := range map[string][]byte{"SSL request": packet(codeSSL, ""), "GSSAPI encryption request": packet(codeGSSENC, "")} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			send(t, client, append(p, startup(v30, "user", "u")...))
			_, err := Accept(t.Context(), server, Options{})
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Err.Message != "received unencrypted data after "+name {
				t.Fatalf("error %v", err)
			}
			server.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(client)
			if !bytes.Equal(answer, wire.AppendError([]byte{'N'}, refused.Err)) {
				t.Fatalf("answer %q", answer)
			}
		})
	}
}

// TestAcceptOfHealthChecks: whoever leaves between two packets is no refused client, by FIN or by RST, whatever it was
// answered about encryption.
func TestAcceptOfHealthChecks(t *testing.T) {
	config := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{{}}} }
	for name, tc := range map[string]struct {
		sent, answer []byte
		tls          func() *tls.Config
	}{
		"nothing":               {},
		"SSLRequest":            {sent: packet(codeSSL, ""), answer: []byte{'N'}},
		"GSSENCRequest":         {sent: packet(codeGSSENC, ""), answer: []byte{'N'}},
		"SSLRequest with TLS":   {sent: packet(codeSSL, ""), answer: []byte{'S'}, tls: config},
		"SSLRequest, no answer": {sent: packet(codeSSL, "")},
	} {
		for _, reset := range []bool{false, true} {
			client, server := pair(t)
			send(t, client, tc.sent)
			done := make(chan error, 1)
			go func() {
				_, err := Accept(t.Context(), server, Options{TLS: tc.tls})
				done <- err
			}()
			if _, err := io.ReadFull(client, make([]byte, len(tc.answer))); err != nil {
				t.Fatal(err)
			}
			if reset {
				_ = client.(*net.TCPConn).SetLinger(0)
			}
			client.Close()
			if err := <-done; !errors.Is(err, ErrNoData) {
				t.Errorf("%s, reset %v: %v", name, reset, err)
			}
		}
	}
}

func TestAcceptDropsInSilence(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent []byte
		want error
	}{
		{"nothing", nil, ErrNoData},
		{"half a length", []byte{0, 0}, ErrIncomplete},
		{"half a packet", startup(v30, "user", "u")[:10], ErrIncomplete},
		{"direct TLS", []byte{0x16}, ErrDirectTLS},
		{"direct TLS, whole record", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), ErrDirectTLS},
		{"too short", []byte{0, 0, 0, 7}, ErrLength},
		{"length zero", []byte{0, 0, 0, 0}, ErrLength},
		{"too long", []byte{0, 0, 0x27, 0x15}, ErrLength},
		{"longest, incomplete", []byte{0, 0, 0x27, 0x14}, ErrIncomplete},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), ErrLength},
		{"negative", []byte{0xff, 0xff, 0xff, 0xff}, ErrLength},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, server := pair(t)
			send(t, client, tc.sent)
			client.(*net.TCPConn).CloseWrite()
			r, err := Accept(t.Context(), server, Options{})
			if !errors.Is(err, tc.want) {
				t.Fatalf("%+v, %v, want %v", r, err, tc.want)
			}
			server.Close()
			if answer, _ := io.ReadAll(client); len(answer) != 0 {
				t.Fatalf("answer %q", answer)
			}
		})
	}
}

func TestAcceptSpeaksProtocol2ToItsClients(t *testing.T) {
	client, server := pair(t)
	send(t, client, startup(2<<16, "user", "u"))
	_, err := Accept(t.Context(), server, Options{})
	server.Close()
	answer, _ := io.ReadAll(client)
	want := "EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.0\n\x00"
	if string(answer) != want || !strings.Contains(err.Error(), "0A000") {
		t.Fatalf("answer %q, error %v", answer, err)
	}
}

// A client that never says anything, or trickles, is let go when authentication_timeout has passed.
func TestAcceptTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for _, b := range startup(v30, "user", "u") {
				<-time.After(5 * time.Second)
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		_, err := Accept(t.Context(), server, Options{})
		if !errors.Is(err, ErrTimeout) || time.Since(began) != DefaultAuthenticationTimeout {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		server.Close()
		<-gone
	})
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	_, server := pair(t)
	cause := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Accept(ctx, server, Options{}); !errors.Is(err, cause) {
		t.Fatalf("error %v", err)
	}
}
