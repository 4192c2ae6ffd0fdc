package relay

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/handshake/roles"
)

// flood gives the same bytes for some time, in reads that never end where a message does.
type flood struct {
	net.Conn
	message []byte
	at      int
	left    int
}

func (f *flood) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		k := copy(p[n:], f.message[f.at:])
		n, f.at = n+k, (f.at+k)%len(f.message)
	}
	if f.at == 0 {
		n--
		f.at = len(f.message) - 1
	}
	f.left -= n
	return n, nil
}

// largest notes the largest write.
type largest struct {
	net.Conn
	write, all int
}

func (l *largest) Write(p []byte) (int, error) {
	l.write, l.all = max(l.write, len(p)), l.all+len(p)
	return len(p), nil
}

func (l *largest) SetWriteDeadline(time.Time) error { return nil }

// A primary that talks without pause before the log-in is over is passed on as it comes: nothing piles up here.
func TestLoginDoesNotPileUp(t *testing.T) {
	for _, message := range [][]byte{frame('N', "SNOTICE\x00C00000\x00Mhello\x00\x00"), frame('v', "\x00\x03\x00\x00\x00\x00\x00\x00")} {
		client, upstream := &largest{}, &flood{message: bytes.Clone(message), left: 8 << 20}
		l := &login{client: newLeg(client), upstream: newLeg(upstream), watch: authwatch.New(authwatch.Legs{}), on: func(Event) {}}
		if err := l.frames(); err == nil {
			t.Fatal("the log-in succeeded")
		}
		if client.write > loginFlush+authwatch.MaxQuestion || client.all < 7<<20 {
			t.Errorf("%q: %d bytes were written, %d at once", message[0], client.all, client.write)
		}
		client, upstream = &largest{}, &flood{message: bytes.Clone(message), left: 8 << 20}
		l = &login{client: newLeg(client), upstream: newLeg(upstream), on: func(Event) {}}
		if err := l.prove(&Options{Verified: &roles.Verified{}, Upstream: &Upstream{Conn: upstream}, Trusted: true}); err == nil {
			t.Fatal("the log-in succeeded")
		}
		if client.write > loginFlush+authwatch.MaxQuestion || message[0] == 'N' && client.all < 7<<20 {
			t.Errorf("%q, verified here: %d bytes were written, %d at once", message[0], client.all, client.write)
		}
	}
}
