package walreceiver

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// countStore notes the positions of WAL and refuses gaps, as the real one does.
type countStore struct {
	Store
	t   *testing.T
	end lsn.LSN
}

func (s *countStore) Positions() walstore.Positions {
	return walstore.Positions{Timeline: 1, Received: s.end}
}

func (s *countStore) AppendFrom(_ context.Context, at lsn.LSN, r io.Reader, n int) error {
	if at != s.end || n <= 0 || n > walstore.MaxMessage {
		s.t.Fatalf("%d bytes offered at %s, the end is %s", n, at, s.end)
	}
	if k, err := io.Copy(io.Discard, io.LimitReader(r, int64(n))); err != nil || k < int64(n) {
		return io.ErrUnexpectedEOF
	}
	s.end += lsn.LSN(n)
	return nil
}

// FuzzStream gives bytes as if from a walsender: no panic, no gap, nothing counted as received that
// the store did not take, and the core accepts whatever came of it.
func FuzzStream(f *testing.F) {
	const begin = lsn.LSN(1 << 24)
	f.Add(bytes.Join([][]byte{xlog(begin, "abc"), keepalive(99, true), xlog(begin+3, "def"), wire.AppendHeader(nil, 'c', 0)}, nil))
	f.Add(fail("FATAL", "57P01", "x"))
	f.Add(append(wire.AppendFrame(nil, 'S', []byte("a\x00b\x00")), xlog(begin, "")...))
	f.Add(wire.AppendFrame(nil, 'C', []byte("COPY 0\x00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		st := &countStore{t: t, end: begin}
		s := Over(&upstream.Session{Reader: wire.NewReader(bytes.NewReader(b), 4096)})
		in := &inbound{conn: s, store: st, live: newLive(new(totals)), expected: begin, reported: func() {}}
		c := newCore()
		for n := 0; ; n++ {
			err := in.step(context.Background())
			if got := in.live.receivedEnd(); got != 0 && got != st.end || got > begin+lsn.LSN(len(b)) {
				t.Fatalf("received %s, stored %s", got, st.end)
			}
			v := view{received: in.live.receivedEnd(), written: st.end, flushed: st.end, heard: t0,
				limits: unlimited()}
			v.pings, v.pingEnd = in.live.lastPing()
			if a, err := c.step(t0, v); err != nil || a.Report.Flush > st.end {
				t.Fatalf("%+v, %v", a, err)
			}
			if err != nil {
				return
			}
			if n > len(b) {
				t.Fatal("messages without bytes")
			}
		}
	})
}
