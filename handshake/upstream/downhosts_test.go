package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// inClear is a server without TLS: it says so, and goes on by script with who logs in in clear.
func inClear(t *testing.T, script func(net.Conn)) int {
	return peer(t, func(c net.Conn) {
		if hello := readStartup(c); bytes.Equal(hello, []byte{0x04, 0xd2, 0x16, 0x2f}) {
			io.WriteString(c, "N")
		} else if hello != nil {
			script(c)
		}
	})
}

// welcomes lets everybody in, as a standby or not; refuses lets nobody in.
func welcomes(standby string) func(net.Conn) {
	return func(c net.Conn) {
		c.Write(welcome(map[string]string{"server_version": "15.20", "in_hot_standby": standby}))
		io.Copy(io.Discard, c)
	}
}

func refuses(code string) func(net.Conn) {
	return func(c net.Conn) { c.Write(refusal("FATAL", code, "no")) }
}

// TestDownAmongHosts: a list of all servers without TLS, by the default sslmode, which asks for TLS first. A server's
// "no TLS" is no answer of its own while it is asked in clear too, and one in recovery does not speak for the primary.
func TestDownAmongHosts(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().(*net.TCPAddr).Port
	free.Close()
	standby := inClear(t, welcomes("on"))
	own := selfSigned(t)
	// pg_hba.conf of this standby has a line without TLS only
	noSSLOnly := peer(t, func(c net.Conn) {
		if hello := readStartup(c); !bytes.Equal(hello, []byte{0x04, 0xd2, 0x16, 0x2f}) {
			welcomes("on")(c)
			return
		}
		io.WriteString(c, "S")
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{own}})
		if readStartup(s) != nil {
			refuses("28000")(s)
		}
	})
	for _, tc := range []struct {
		name  string
		ports []int
		extra string
		want  bool
	}{
		{"refused, standbys", []int{closed, standby, standby}, "", true},
		{"refused, standbys, the other way round", []int{closed, standby, standby}, "sslmode=allow", true},
		{"nothing comes, a standby", []int{peer(t, func(c net.Conn) { io.Copy(io.Discard, c) }), standby}, "connect_timeout=2", true},
		{"closed in clear, a standby", []int{inClear(t, func(net.Conn) {}), standby}, "", true},
		{"57P03 of the primary, a standby", []int{inClear(t, refuses("57P03")), standby}, "", true},
		{"refused, 57P03 of a standby", []int{closed, inClear(t, refuses("57P03")), standby}, "", true},
		{"refused, a standby that wants no TLS", []int{closed, noSSLOnly}, "", true},
		{"standbys alone", []int{standby, standby}, "", true},
		{"refused, 53300 of who may be the primary", []int{closed, inClear(t, refuses("53300")), standby}, "", false},
		{"refused, 28000 of who may be the primary", []int{closed, inClear(t, refuses("28000")), standby}, "", false},
		{"refused, half an answer", []int{closed, inClear(t, func(c net.Conn) { c.Write([]byte("R\x00")) }), standby}, "", false},
		{"refused, no TLS where it is demanded", []int{closed, standby}, "sslmode=require", false},
		{"refused, a primary where a standby is wanted", []int{closed, inClear(t, welcomes("off"))}, "target_session_attrs=standby", true},
		{"a primary where a standby is wanted", []int{inClear(t, welcomes("off"))}, "target_session_attrs=standby", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hosts := strings.Repeat(",127.0.0.1", len(tc.ports))[1:]
			c := mustParse(t, fmt.Sprintf("host=%s port=%s user=u dbname=d target_session_attrs=primary %s", hosts, join(tc.ports...), tc.extra))
			_, err := c.Connect(t.Context(), nil)
			if err == nil || Down(err) != tc.want {
				t.Errorf("one after the other: %v, %v", err, Down(err))
			}
			_, all := c.ConnectAll(t.Context(), nil, time.Second)
			if all == nil || Down(all) != tc.want {
				t.Errorf("at once: %v, %v", all, Down(all))
			}
			if tc.extra == "" && strings.Contains(err.Error(), "refused TLS") {
				t.Errorf("says what an answer in clear has made pointless: %v", err)
			}
		})
	}
	away := &ConnectError{Attempts: []Attempt{{Endpoint{Host: "a"}, errDial{io.EOF}}, {Endpoint{Host: "b"}, ErrStandby}}}
	refused := errors.New("upstream host c is refused")
	for _, err := range []error{errors.Join(away, refused), fmt.Errorf("x: %w", fmt.Errorf("%w; %w", refused, away))} {
		if !Down(away) || !Down(fmt.Errorf("x: %w", away)) || Down(err) {
			t.Errorf("one that is there is refused: %v, %v", err, Down(err))
		}
	}
	c := leads(t, fmt.Sprintf("host=gone,127.0.0.1 port=5432,%d user=u target_session_attrs=primary", standby))
	r := c.last.Load()
	r.dial.lookup = (&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}).LookupHost
	if _, err := c.Connect(t.Context(), nil); err == nil || !Down(err) {
		t.Errorf("a name that leads nowhere, and a standby: %v, %v", err, Down(err))
	}
}
