package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/handshake/roles"
)

// said is a primary that has said everything already, and hears nothing.
type said struct {
	net.Conn
	*bytes.Reader
}

func (s said) Read(p []byte) (int, error)       { return s.Reader.Read(p) }
func (s said) Write(p []byte) (int, error)      { return len(p), nil }
func (s said) SetDeadline(time.Time) error      { return nil }
func (s said) SetReadDeadline(time.Time) error  { return nil }
func (s said) SetWriteDeadline(time.Time) error { return nil }

// What a primary says while we log in for a client that has proved itself by the primary's verifier.
func TestProve(t *testing.T) {
	ok := string(frame('R', "\x00\x00\x00\x00"))
	status, key, ready := string(frame('S', "a\x00b\x00")), string(frame('K', "\x00\x00\x00\x01key!")), string(frame('Z', "I"))
	for _, tc := range []struct{ name, says, passed, refusal string }{
		{"lets us in", ok + status + key + ready, ok + status + key + ready, ""},
		{"notices", string(frame('N', "x")) + ok + string(frame('N', "y")) + ready, string(frame('N', "x")) + ok + string(frame('N', "y")) + ready, ""},
		{"a version", string(frame('v', "\x00\x03\x00\x00\x00\x00\x00\x00")) + ok + ready, ok + ready, ""},
		{"data before ok", status + ok, "", "an unexpected message"},
		{"ready before ok", ready, "", "an unexpected message"},
		{"ok twice", ok + ok, ok, "an unexpected message"},
		{"rows", ok + string(frame('D', "\x00\x00")), ok, "an unexpected message"},
		{"password", string(frame('R', "\x00\x00\x00\x03")), "", "another proof than SCRAM"},
		{"nonsense", string(frame('R', "\x00")), "", "malformed SCRAM message"},
		{"server-final at once", string(frame('R', "\x00\x00\x00\x0cv=")), "", "malformed SCRAM message"},
		{"no signature", string(frame('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")) + ok, "", "could not prove that it knows"},
		{"the end", ok, ok, "cannot connect to the primary"},
		{"a length that cannot be", ok + "S\x7f\xff\xff\xff", ok, "cannot connect to the primary"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got bytes.Buffer
			upstream := said{Reader: bytes.NewReader([]byte(tc.says))}
			l := &login{client: newLeg(written{Buffer: &got}), upstream: newLeg(upstream), on: func(Event) {}}
			err := l.prove(&Options{Verified: &roles.Verified{FromPrimary: true}, Upstream: &Upstream{Conn: upstream}})
			var refused *RefusedError
			errors.As(err, &refused)
			if (err == nil) != (tc.refusal == "") || err != nil && (refused == nil || !strings.Contains(err.Error(), tc.refusal)) {
				t.Errorf("error %v", err)
			}
			if text := got.String(); !strings.HasPrefix(tc.passed, text) || err == nil && text != tc.passed {
				t.Errorf("passed %q", text)
			}
		})
	}
}

// written is a client that reads everything.
type written struct {
	net.Conn
	*bytes.Buffer
}

func (w written) Read([]byte) (int, error)         { return 0, io.EOF }
func (w written) Write(p []byte) (int, error)      { return w.Buffer.Write(p) }
func (w written) SetWriteDeadline(time.Time) error { return nil }
