package walreceiver

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// walMessage is a CopyData of n bytes of WAL.
func walMessage(at lsn.LSN, n int) []byte {
	m := copyboth.XLogData{Start: at, WALEnd: at + lsn.LSN(n)}
	return wire.AppendFrame(nil, 'd', append(m.AppendHeader(nil), make([]byte, n)...))
}

// TestBreak: a stream that goes on is left, however much of it is on its way; one that an ERROR has ended as well. Then
// the session takes a command.
func TestBreak(t *testing.T) {
	refusal := wire.AppendFrame(nil, 'E', []byte("SERROR\x00VERROR\x00C58P01\x00Mremoved\x00\x00"))
	done := wire.AppendFrame(wire.AppendHeader(nil, 'c', 0), 'C', []byte("START_STREAMING\x00"))
	done = wire.AppendFrame(done, 'C', []byte("START_REPLICATION\x00"))
	for name, c := range map[string]struct {
		late    []byte // what comes after our CopyDone
		refused bool
		want    bool // the session goes on
	}{
		"at once":         {done, false, true},
		"WAL on its way":  {append(append(walMessage(0x2000, 100000), walMessage(0x2000+100000, 8192)...), done...), false, true},
		"refused before":  {refusal, true, true},
		"refused late":    {append(walMessage(0x2000, 10), refusal...), false, true},
		"not a walsender": {wire.AppendFrame(nil, 'Q', nil), false, false},
		"it leaves":       {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				s, err := l.Accept()
				if err != nil {
					return
				}
				defer s.Close()
				in := wire.NewReader(s, 1024)
				next := func(want byte) {
					h, err := in.Next()
					if err == nil {
						err = in.Discard(h.Size)
					}
					if err != nil || h.Type != want {
						t.Errorf("%q, %v instead of %q", h.Type, err, want)
					}
				}
				next('Q')
				s.Write(wire.AppendFrame(nil, 'W', []byte{0, 0, 0}))
				if !c.refused {
					s.Write(walMessage(0x1000, 0x1000))
					next('c')
				}
				if s.Write(c.late); !c.want {
					return
				}
				s.Write(wire.AppendFrame(nil, 'Z', []byte{'I'}))
				next('Q')
				s.Write(wire.AppendFrame(wire.AppendFrame(nil, 'C', []byte("SHOW\x00")), 'Z', []byte{'I'}))
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			up := &upstream.Session{Conn: conn, Reader: wire.NewReader(conn, 1024)}
			s := Over(up)
			if copying, _, err := s.Start(t.Context(), "", StartPoint{Timeline: 1, At: 0x1000}); err != nil || !copying {
				t.Fatal(copying, err)
			}
			m, err := s.Receive()
			if err == nil && m.Kind == 'w' {
				_, err = io.CopyN(io.Discard, s, int64(m.Size))
			}
			if err != nil || (m.Kind == 'E') != c.refused {
				t.Fatal(m, err)
			}
			conn.SetDeadline(time.Time{})
			if err := s.Break(t.Context(), c.refused); (err == nil) != c.want {
				t.Fatal(err)
			}
			if !c.want {
				return
			}
			if _, err := up.Query(t.Context(), "SHOW x"); err != nil {
				t.Errorf("the session is of no use: %v", err)
			}
		})
	}
}
