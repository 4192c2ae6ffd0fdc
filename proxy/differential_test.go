package proxy_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
)

// step is sent by a client at once; before the next one it waits for one byte.
type step []byte

const (
	ssl = 1234<<16 | 5679
	cxl = 1234<<16 | 5678
)

// oddStartups are sent to the server and to the proxy in front of it.
var oddStartups = []struct {
	name  string
	steps []step
}{
	{"plain", []step{startup(v30, "user", "postgres")}},
	{"database", []step{startup(v30, "user", "postgres", "database", "template1")}},
	{"no such database", []step{startup(v30, "user", "postgres", "database", "nowhere")}},
	{"no such user", []step{startup(v30, "user", "nobody-here")}},
	{"no user", []step{startup(v30, "database", "postgres")}},
	{"empty user", []step{startup(v30, "user", "")}},
	{"user twice", []step{startup(v30, "user", "x", "user", "postgres")}},
	{"user, then empty", []step{startup(v30, "user", "postgres", "user", "")}},
	{"nothing", []step{packet(v30, "\x00")}},
	{"long user", []step{startup(v30, "user", strings.Repeat("u", 100))}},
	{"unknown setting", []step{startup(v30, "user", "postgres", "no_such", "1")}},
	{"bad options", []step{startup(v30, "user", "postgres", "options", "-Z")}},
	{"application name", []step{startup(v30, "user", "postgres", "application_name", "a\xffb\x01c")}},
	{"3.1", []step{startup(v30+1, "user", "postgres")}},
	{"3.2", []step{startup(v30+2, "user", "postgres")}},
	{"3.9999", []step{startup(v30+9999, "user", "postgres")}},
	{"protocol option", []step{startup(v30, "user", "postgres", "_pq_.x", "y", "_pq_.z", "")}},
	{"protocol option, no user", []step{startup(v30+2, "_pq_.x", "y")}},
	{"newer minor, no user", []step{startup(v30+2, "a", "y")}},
	{"0.0", []step{packet(0, "")}},
	{"0.1", []step{packet(1, "")}},
	{"1.0", []step{startup(1<<16, "user", "postgres")}},
	{"2.0", []step{startup(2<<16, "user", "postgres")}},
	{"4.0", []step{startup(4<<16, "user", "postgres")}},
	{"1234.5677", []step{packet(1234<<16|5677, "")}},
	{"1234.5681", []step{packet(1234<<16|5681, "")}},
	{"65535.65535", []step{packet(0xffffffff, "")}},
	{"replication bad", []step{startup(v30, "user", "postgres", "replication", "2")}},
	{"replication empty", []step{startup(v30, "user", "postgres", "replication", "")}},
	{"replication o", []step{startup(v30, "user", "postgres", "replication", "o")}},
	{"replication Database", []step{startup(v30, "user", "postgres", "replication", "Database")}},
	{"replication trailing blank", []step{startup(v30, "user", "postgres", "replication", "on ")}},
	{"replication bad, no user, no end", []step{packet(v30, "replication\x00maybe\x00")}},
	{"replication bad before good", []step{startup(v30, "user", "postgres", "replication", "x", "replication", "off")}},
	{"replication of", []step{startup(v30, "user", "postgres", "replication", "of")}},
	{"replication FALS", []step{startup(v30, "user", "postgres", "replication", "FALS")}},
	{"database then false", []step{startup(v30, "user", "postgres", "replication", "database", "replication", "n")}},
	{"database then true", []step{startup(v30, "user", "postgres", "replication", "database", "replication", "t")}},
	{"logical, no such database", []step{startup(v30, "user", "postgres", "replication", "database", "database", "no")}},
	{"no terminator", []step{packet(v30, "user\x00postgres\x00")}},
	{"terminator too early", []step{packet(v30, "user\x00postgres\x00\x00x\x00")}},
	{"one byte for a terminator", []step{packet(v30, "user\x00postgres\x00x")}},
	{"two bytes for a terminator", []step{packet(v30, "user\x00postgres\x00xx")}},
	{"value cut off", []step{packet(v30, "user\x00postgres")}},
	{"name without value", []step{packet(v30, "user\x00postgres\x00application_name\x00")}},
	{"empty body", []step{packet(v30, "")}},
	{"length 0", []step{{0, 0, 0, 0}}},
	{"length 7", []step{{0, 0, 0, 7}}},
	{"length 10005", []step{{0, 0, 0x27, 0x15}}},
	{"length 10004", []step{packet(v30, "user\x00postgres\x00application_name\x00"+strings.Repeat("n", 9996-33)+"\x00\x00")}},
	{"length -1", []step{{0xff, 0xff, 0xff, 0xff}}},
	{"TLS at once", []step{[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")}},
	{"HTTP", []step{[]byte("GET / HTTP/1.0\r\n\r\n")}},
	{"SSL, startup", []step{packet(ssl, ""), startup(v30, "user", "postgres")}},
	{"SSL, SSL", []step{packet(ssl, ""), packet(ssl, "")}},
	{"SSL with a body", []step{packet(ssl, "body"), startup(v30, "user", "postgres")}},
	{"SSL and more", []step{append(packet(ssl, ""), startup(v30, "user", "postgres")...)}},
	{"SSL, no user", []step{packet(ssl, ""), startup(v30, "a", "b")}},
	{"cancel", []step{packet(cxl, "\x7f\xff\xff\xff\x00\x00\x00\x00")}},
	{"cancel, short key", []step{packet(cxl, "\x00\x00\x00\x01\x00")}},
	{"cancel, long key", []step{packet(cxl, "\x7f\xff\xff\xff"+strings.Repeat("k", 32))}},
	{"cancel, no pid", []step{packet(cxl, "")}},
	{"SSL, cancel", []step{packet(ssl, ""), packet(cxl, "\x7f\xff\xff\xff\x00\x00\x00\x00")}},
}

// TestStartupAsPostgreSQL sends odd startup packets to a server and through the proxy. The answers are the same up to
// the session's pid and key, and up to the place in the server's source.
func TestStartupAsPostgreSQL(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	compareStartups(t, fmt.Sprintf("127.0.0.1:%d", s.Port), w.tcp(), converse)
}

// TestStartupWithinTLS is the same behind a TLS handshake, where nothing else is different.
func TestStartupWithinTLS(t *testing.T) {
	cert := pgtest.NewAuthority(t, "test").Issue(t, pkix.Name{CommonName: "x"})
	s := pgtest.Need(t, 15).Primary(t, pgtest.Stopped())
	s.TLS(t, cert)
	s.Start(t)
	w := start(t, proxy.Options{Upstream: upstreamDialer(t, s.Conninfo("sslmode=require")), TLS: tlsFiles(t, cert, nil)})
	secure := func(t *testing.T, addr string, steps []step) string {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		answer := make([]byte, 1)
		_, err = c.Write(packet(ssl, ""))
		if err == nil {
			_, err = io.ReadFull(c, answer)
		}
		if err != nil || answer[0] != 'S' {
			t.Fatalf("%s answers SSLRequest with %q, %v", addr, answer, err)
		}
		return talk(t, tls.Client(c, &tls.Config{InsecureSkipVerify: true}), steps)
	}
	compareStartups(t, fmt.Sprintf("127.0.0.1:%d", s.Port), w.tcp(), secure)
}

func compareStartups(t *testing.T, direct, proxied string, converse func(*testing.T, string, []step) string) {
	answers := map[string]bool{}
	for _, tc := range oddStartups {
		t.Run(tc.name, func(t *testing.T) {
			want, got := converse(t, direct, tc.steps), converse(t, proxied, tc.steps)
			if want != got {
				t.Fatalf("PostgreSQL says\n%s\nreplproxy says\n%s", want, got)
			}
			answers[want] = true
		})
	}
	if len(answers) < 24 {
		t.Errorf("only %d different answers to %d packets: they test less than they should", len(answers), len(oddStartups))
	}
}

// converse sends the steps, ends its own direction and describes the answers.
func converse(t *testing.T, addr string, steps []step) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return talk(t, c, steps)
}

// talk sends the steps over c and closes it.
func talk(t *testing.T, c net.Conn, steps []step) string {
	t.Helper()
	defer c.Close()
	var answer bytes.Buffer
	for i, s := range steps {
		if i > 0 {
			if _, err := io.CopyN(&answer, c, 1); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		if _, err := c.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	if _, err := io.Copy(&answer, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s does not close the connection; so far %q", c.RemoteAddr(), answer.Bytes())
	}
	return describe(answer.Bytes())
}

// describe renders a server's bytes: encryption answers, then frames.
func describe(b []byte) string {
	var out strings.Builder
	for len(b) > 0 && b[0] == 'N' && (len(b) == 1 || b[1] != 0) {
		out.WriteString("no encryption\n")
		b = b[1:]
	}
	r := wire.NewReader(bytes.NewReader(b), 1<<16)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			return out.String() + fmt.Sprintf("%q\n", b)
		}
		body, err := r.Body(h.Size, 1<<16)
		switch {
		case err != nil:
			return out.String() + fmt.Sprintf("%q\n", b)
		case h.Type == 'K':
			fmt.Fprintf(&out, "K of %d bytes\n", len(body))
		case h.Type == 'E' || h.Type == 'N':
			e, ok := wire.ParseError(body)
			fmt.Fprintf(&out, "%c %s %s %q %q %q %d %v\n", h.Type, e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Position, ok)
		default:
			fmt.Fprintf(&out, "%c %q\n", h.Type, body)
		}
	}
}
