package upstream

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/wire"
)

// refuse is a server that ends the log-in with a FATAL.
func refuse(t *testing.T, code string) int {
	return peer(t, func(c net.Conn) {
		if readStartup(c) != nil {
			c.Write(wire.AppendFrame(nil, 'E', []byte("SFATAL\x00VFATAL\x00C"+code+"\x00Mno\x00\x00")))
			io.Copy(io.Discard, c)
		}
	})
}

// TestDown: which failures say that no server is there (ruling R33).
func TestDown(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := dead.Addr().(*net.TCPAddr).Port
	dead.Close()
	standby := accept(t, map[string]string{"server_version": "15.20", "in_hot_standby": "on"}, func(c net.Conn) { io.Copy(io.Discard, c) })
	mute := peer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	for _, tc := range []struct {
		name  string
		ports []int
		extra string
		want  bool
	}{
		{"nobody listens", []int{closed}, "", true},
		{"closed without a byte", []int{peer(t, func(net.Conn) {})}, "", true},
		{"closed without a byte, by TLS", []int{peer(t, func(net.Conn) {})}, "sslmode=require", true},
		{"nothing comes", []int{mute}, "connect_timeout=2", true},
		{"57P01", []int{refuse(t, "57P01")}, "", true},
		{"57P02", []int{refuse(t, "57P02")}, "", true},
		{"57P03", []int{refuse(t, "57P03")}, "", true},
		{"53300", []int{refuse(t, "53300")}, "", false},
		{"28000", []int{refuse(t, "28000")}, "", false},
		{"28P01", []int{refuse(t, "28P01")}, "", false},
		{"half a message", []int{peer(t, func(c net.Conn) { readStartup(c); c.Write([]byte("R\x00\x00")) })}, "", false},
		{"no TLS there", []int{peer(t, func(c net.Conn) { c.Read(make([]byte, 8)); c.Write([]byte("N")) })}, "sslmode=require", false},
		{"TLS that breaks off", []int{peer(t, func(c net.Conn) { c.Read(make([]byte, 8)); c.Write([]byte("S")) })}, "sslmode=require", false},
		{"begins, and then nothing", []int{peer(t, func(c net.Conn) { readStartup(c); c.Write([]byte("R")); io.Copy(io.Discard, c) })},
			"connect_timeout=2", false},
		{"one is down and one is busy", []int{closed, refuse(t, "53300")}, "", false},
		{"one is down and one is a standby", []int{closed, standby}, "target_session_attrs=primary", true},
		{"a standby alone", []int{standby}, "target_session_attrs=primary", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			extra := tc.extra
			if extra == "" || extra[0] != 's' {
				extra += " sslmode=disable"
			}
			hosts := strings.Repeat(",127.0.0.1", len(tc.ports))[1:]
			c, err := Parse(fmt.Sprintf("host=%s port=%s user=u dbname=d %s", hosts, join(tc.ports...), extra))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Connect(t.Context(), nil)
			if err == nil || Down(err) != tc.want {
				t.Errorf("one after the other: %v, %v", err, Down(err))
			}
			_, err = c.ConnectAll(t.Context(), nil, time.Second)
			if err == nil || Down(err) != tc.want {
				t.Errorf("at once: %v, %v", err, Down(err))
			}
		})
	}
}
