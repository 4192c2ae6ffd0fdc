package proxy_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
)

// sasl is a SASLInitialResponse as a frame.
func sasl(mechanism, message string) string {
	body := binary.BigEndian.AppendUint32(append([]byte(mechanism), 0), uint32(len(message)))
	return p(string(body) + message)
}

// p is a 'p' frame.
func p(body string) string { return string(wire.AppendFrame(nil, 'p', []byte(body))) }

const (
	plain, plus = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
	zeros       = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

// oddSCRAM are exchanges: what a client sends after AuthenticationSASL, and after the server-first-message,
// where NONCE is the nonce of that. A last step of "" sends the end of the connection.
var oddSCRAM = []struct{ name, user, first, final string }{
	{"wrong proof", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros)},
	{"unknown role", "nobody", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros)},
	{"no password", "empty", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros)},
	{"expired", "expired", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros)},
	{"name and extensions", "alice", sasl(plain, "n,,n=x=2Cy,r=abc,x=1,y=2"), p("c=biws,r=NONCE,z=3,p=" + zeros)},
	{"hangs up", "alice", "", ""},
	{"hangs up later", "alice", sasl(plain, "n,,n=,r=abc"), ""},
	{"another message", "alice", "Q\x00\x00\x00\x05\x00", ""},
	{"another message later", "alice", sasl(plain, "n,,n=,r=abc"), "X\x00\x00\x00\x04"},
	{"empty answer", "alice", p(""), ""},
	{"no such mechanism", "alice", sasl("PLAIN", "x"), ""},
	{"mechanism without end", "alice", p("SCRAM-SHA-256"), ""},
	{"mechanism alone", "alice", p("SCRAM-SHA-256\x00"), ""},
	{"half a length", "alice", p("SCRAM-SHA-256\x00\x00\x00"), ""},
	{"length beyond the end", "alice", p("SCRAM-SHA-256\x00\x00\x00\x00\x09n,,"), ""},
	{"length before the end", "alice", p("SCRAM-SHA-256\x00\x00\x00\x00\x01n,,"), ""},
	{"negative length", "alice", p("SCRAM-SHA-256\x00\xff\xff\xff\xfe"), ""},
	{"no message yet", "alice", p("SCRAM-SHA-256\x00\xff\xff\xff\xff"), p("n,,n=,r=abc")},
	{"no message ever", "alice", p("SCRAM-SHA-256\x00\xff\xff\xff\xff"), p("")},
	{"plus", "alice", sasl(plus, "p=tls-server-end-point,,n=,r=abc"), p("c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAAA,r=NONCE,p=" + zeros)},
	{"plus, flag n", "alice", sasl(plus, "n,,n=,r=abc"), ""},
	{"plus, flag y", "alice", sasl(plus, "y,,n=,r=abc"), ""},
	{"plus, other type", "alice", sasl(plus, "p=tls-unique,,n=,r=abc"), ""},
	{"plus, odd type", "alice", sasl(plus, "p=tls-un\x01\xffqueeeeeeeeeeeeeeeeeeeeeeeeeeeee,,n=,r=abc"), ""},
	{"plus, no type", "alice", sasl(plus, "p,,n=,r=abc"), ""},
	{"plus, cut off", "alice", sasl(plus, "p=tls-server-end-point"), ""},
	{"plus, one comma", "alice", sasl(plus, "p=tls-server-end-point,n=,r=abc"), ""},
	{"flag p without plus", "alice", sasl(plain, "p=tls-server-end-point,,n=,r=abc"), ""},
	{"flag y", "alice", sasl(plain, "y,,n=,r=abc"), p("c=eSws,r=NONCE,p=" + zeros)},
	{"flag y, then n", "alice", sasl(plain, "y,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros)},
	{"flag n, then y", "alice", sasl(plain, "n,,n=,r=abc"), p("c=eSws,r=NONCE,p=" + zeros)},
	{"flag x", "alice", sasl(plain, "x,,n=,r=abc"), ""},
	{"flag not printable", "alice", sasl(plain, "\xfe,,n=,r=abc"), ""},
	{"no comma", "alice", sasl(plain, "n;,n=,r=abc"), ""},
	{"flag only", "alice", sasl(plain, "n"), ""},
	{"flag and comma", "alice", sasl(plain, "n,"), ""},
	{"empty message", "alice", sasl(plain, ""), ""},
	{"zero byte", "alice", sasl(plain, "n,,n=,r=a\x00c"), ""},
	{"authorization identity", "alice", sasl(plain, "n,a=bob,n=,r=abc"), ""},
	{"something for an identity", "alice", sasl(plain, "n,b=bob,n=,r=abc"), ""},
	{"mandatory extension", "alice", sasl(plain, "n,,m=x,n=,r=abc"), ""},
	{"no name", "alice", sasl(plain, "n,,r=abc"), ""},
	{"no equals", "alice", sasl(plain, "n,,n,r=abc"), ""},
	{"no nonce", "alice", sasl(plain, "n,,n="), ""},
	{"empty nonce", "alice", sasl(plain, "n,,n=,r="), p("c=biws,r=NONCE,p=" + zeros)},
	{"nonce not printable", "alice", sasl(plain, "n,,n=,r=a\x7fb"), ""},
	{"extension without name", "alice", sasl(plain, "n,,n=,r=abc,=1"), ""},
	{"extension 1", "alice", sasl(plain, "n,,n=,r=abc,1=1"), ""},
	{"extension without value", "alice", sasl(plain, "n,,n=,r=abc,x"), ""},
	{"comma at the end", "alice", sasl(plain, "n,,n=,r=abc,"), p("c=biws,r=NONCE,p=" + zeros)},
	{"empty final", "alice", sasl(plain, "n,,n=,r=abc"), p("")},
	{"zero byte in final", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE\x00,p=" + zeros)},
	{"no binding", "alice", sasl(plain, "n,,n=,r=abc"), p("r=NONCE,p=" + zeros)},
	{"no nonce in final", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,p=" + zeros)},
	{"another nonce", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCEx,p=" + zeros)},
	{"no proof", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE")},
	{"empty proof", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=")},
	{"short proof", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=AAAA")},
	{"no base64", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + strings.Repeat("!", 44))},
	{"garbage behind", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros + ",x=1")},
	{"comma behind", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,p=" + zeros + ",")},
	{"too long", "alice", p(strings.Repeat("x", 2000)), ""},
	{"too long later", "alice", sasl(plain, "n,,n=,r=abc"), p(strings.Repeat("x", 1025))},
	{"as long as may be", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,x=" + strings.Repeat("x", 900) + ",p=" + zeros)},
	{"length 3", "alice", "p\x00\x00\x00\x03", ""},
	{"extension not one", "alice", sasl(plain, "n,,n=,r=abc"), p("c=biws,r=NONCE,?=1,p=" + zeros)},
}

var (
	serverFirst = regexp.MustCompile(`r=([^,]*),s=([^,]*),i=`)
)

// odd goes through one exchange over c and describes what the server said, lengths for what is random.
func odd(t *testing.T, c net.Conn, user, first, final string) string {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	var said bytes.Buffer
	r := wire.NewReader(io.TeeReader(c, &said), 1<<10)
	frame := func() string {
		h, err := r.Next()
		if err != nil {
			return ""
		}
		body, err := r.Body(h.Size, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	_, _ = c.Write(startup(v30, "user", user, "database", "postgres"))
	frame()
	if first != "" {
		_, _ = c.Write([]byte(first))
		m := serverFirst.FindStringSubmatch(frame())
		if final != "" {
			body := final[5:]
			if m != nil {
				body = strings.ReplaceAll(body, "NONCE", m[1])
			}
			_, _ = c.Write(wire.AppendFrame(nil, final[0], []byte(body)))
		}
	}
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server does not close the connection")
	}
	return serverFirst.ReplaceAllStringFunc(describe(said.Bytes()), func(s string) string {
		m := serverFirst.FindStringSubmatch(s)
		return fmt.Sprintf("r: %d bytes, s: %d bytes, i=", len(m[1]), len(m[2]))
	})
}

// TestSCRAMAsPostgreSQL: whatever a client sends within the exchange, and whoever it says to be, the proxy
// answers as the server itself does, in clear and within TLS.
func TestSCRAMAsPostgreSQL(t *testing.T) {
	authority := pgtest.NewAuthority(t, "test")
	cert := authority.Issue(t, pkix.Name{CommonName: "x"})
	s := scramPrimary(t, pgtest.Need(t, 15))
	s.TLS(t, cert)
	s.Restart(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil), TLS: tlsFiles(t, cert, nil)})
	direct := fmt.Sprintf("127.0.0.1:%d", s.Port)
	inClear := func(t *testing.T, addr string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	within := func(t *testing.T, addr string) net.Conn {
		c := inClear(t, addr)
		answer := make([]byte, 1)
		if _, err := c.Write(packet(ssl, "")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil || answer[0] != 'S' {
			t.Fatalf("%q, %v", answer, err)
		}
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	answers := map[string]bool{}
	for leg, dial := range map[string]func(*testing.T, string) net.Conn{"in clear": inClear, "TLS": within} {
		for _, tc := range oddSCRAM {
			t.Run(leg+"/"+tc.name, func(t *testing.T) {
				want := odd(t, dial(t, direct), tc.user, tc.first, tc.final)
				got := odd(t, dial(t, w.tcp()), tc.user, tc.first, tc.final)
				if want != got {
					t.Fatalf("PostgreSQL says\n%s\nreplproxy says\n%s", want, got)
				}
				answers[want] = true
			})
		}
	}
	if len(answers) < 40 {
		t.Errorf("only %d different answers: they test less than they should", len(answers))
	}
}
