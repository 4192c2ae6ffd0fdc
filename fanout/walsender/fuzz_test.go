package walsender

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// scriptConn is a connection whose peer has said its part already and takes everything.
type scriptConn struct {
	net.Conn
	in *bytes.Reader
}

func (c scriptConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c scriptConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c scriptConn) SetDeadline(time.Time) error      { return nil }
func (c scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c scriptConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzReplies gives the replies loop anything. It ends, without panic, and keeps no more of a frame than its fields.
// Every position that it passes to slot and voter is within the horizon. The end is PostgreSQL's protocol violation,
// the end of the session, or CopyDone.
func FuzzReplies(f *testing.F) {
	status := copyboth.StatusUpdate{Progress: lsn.Progress{Write: 1, Flush: base + 7, Apply: 1 << 63}, SentAt: 5, ReplyRequested: true}.Append(nil)
	feedback := copyboth.HotStandbyFeedback{SentAt: 5, Xmin: 1<<32 | 735, CatalogXmin: 2}.Append(nil)
	f.Add(wire.AppendFrame(wire.AppendFrame(nil, 'd', status), 'd', feedback))
	f.Add(wire.AppendFrame(wire.AppendFrame(nil, 'd', status), 'c', nil))
	f.Add(wire.AppendFrame(nil, 'd', status[:20]))
	f.Add(wire.AppendFrame(nil, 'd', append(bytes.Clone(feedback), make([]byte, 100)...)))
	f.Add(wire.AppendFrame(nil, 'd', nil))
	f.Add(wire.AppendFrame(nil, 'X', nil))
	f.Add(wire.AppendFrame(nil, 'f', []byte("x\x00")))
	f.Add([]byte{'d', 0x7f, 0xff, 0xff, 0xff, 'r'})
	f.Add([]byte{'d', 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		store := newFakeStore(t, base, 4096)
		store.receive(base + 100)
		r := &recorder{}
		conn := scriptConn{in: bytes.NewReader(in)}
		s := New(Options{
			Conn: Conn{Net: conn, Frames: wire.NewReader(conn, 4096)}, Session: Session{WalSenderTimeout: time.Minute},
			Store: store, Open: store.NewReader, Plan: Plan{Timeline: 1, Start: base}, SegSize: lsn.DefaultSegSize, Slot: r, Voter: r, Feedback: r.heard,
		})
		if _, err := s.decide(); err != nil {
			t.Fatal(err)
		}
		s.replies()
		for _, a := range r.acks {
			if a.sent > base+100 {
				t.Fatalf("a vote up to %s went through", a.sent)
			}
		}
		for _, l := range r.flush {
			if l > base+100 {
				t.Fatalf("flush %s went through", l)
			}
		}
		for _, x := range r.xmins {
			if x.Xmin != 0 && uint32(x.Xmin) < FirstNormalXID {
				t.Fatalf("xmin %d is no transaction", x.Xmin)
			}
		}
		if s.end == nil {
			if !s.core.doneReceived {
				t.Fatal("ended without a reason")
			}
			return
		}
		var e *pgerror.Error
		if !errors.Is(s.end, ErrSessionOver) && (!errors.As(s.end, &e) || e.Code != pgerror.ProtocolViolation) {
			t.Fatal(s.end)
		}
	})
}
