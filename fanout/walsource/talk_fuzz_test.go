package walsource

import (
	"bytes"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// deafConn is a server that has said all it will, whatever it is asked.
type deafConn struct {
	net.Conn
	in *bytes.Reader
}

func (c deafConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c deafConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c deafConn) SetDeadline(time.Time) error      { return nil }
func (c deafConn) SetReadDeadline(time.Time) error  { return nil }
func (c deafConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzTalk lets the upstream answer anything to all that is asked before WAL flows. Properties: no panic; what was
// accepted is a server that can be; the store is bound to no other system, and begins nowhere else, than it did.
func FuzzTalk(f *testing.F) {
	shows := func(values ...string) (b []byte) {
		for i := range walreceiver.Settings() {
			b = append(b, ready(row("SHOW", slices.Concat(values, make([]string, len(walreceiver.Settings())))[i]))...)
		}
		return b
	}
	good := shows("16MB", "150020")
	history := ready(row("TIMELINE_HISTORY", "00000002.history", "1\t0/1000006\tx\n"))
	slot := ready(row("READ_REPLICATION_SLOT", "physical", "0/1000003", "1"))
	for _, b := range [][]byte{
		slices.Concat(ready(row("X", fakeSystem, "1", "0/1000100", "NULL")), good, slot),
		slices.Concat(ready(row("X", fakeSystem, "2", "0/1000100", "NULL")), good, slot, history),
		slices.Concat(ready(row("X", fakeSystem, "2", "0/1000100", "NULL")), shows("64MB", "180004"), history),
		slices.Concat(ready(row("X", "1", "1", "0/0", "x")), shows("1GB", "170000")),
		ready(fail("ERROR", "XX000", "no")), wire.AppendFrame(nil, 'W', []byte{0, 0, 0}),
	} {
		f.Add(b, false)
		f.Add(b, true)
	}
	config, err := upstream.Parse("host=127.0.0.1 user=u sslmode=disable")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte, used bool) {
		m := newMemStore()
		if used {
			m.id = walstore.Identity{System: 7000000000000000001, SegSize: 16 << 20, ServerMajor: 15}
			m.start = fakeSeg
			m.pos = walstore.Positions{Timeline: 1, Oldest: fakeSeg, Received: fakeSeg + 9, Written: fakeSeg + 9, Flushed: fakeSeg + 9}
		}
		before, id := m.pos, m.id
		o := Options{Upstream: config, Name: "px", Store: m}
		o.Slot, o.Quorum = "s", newRule(free())
		r, err := New(alone(o))
		if err != nil {
			t.Fatal(err)
		}
		conn := deafConn{in: bytes.NewReader(said)}
		s := walreceiver.Over(&upstream.Session{Conn: conn, Reader: wire.NewReader(conn, 4096)})
		srv, err := r.identify(t.Context(), s)
		if err != nil {
			return
		}
		if srv.system == 0 || srv.timeline == 0 || srv.seg == 0 || srv.version < minVersion {
			t.Fatalf("accepted %+v", srv)
		}
		r.stream = r.rcv.Attach(s, srv.facts(), walreceiver.Link{})
		slot, err := r.stream.PrepareSlot(t.Context())
		if err != nil {
			return
		}
		srv.slotRestart, srv.slotTLI = slot.Restart, slot.Timeline
		p, err := r.prepareStream(t.Context(), s, &srv)
		if used && m.id != id {
			t.Fatalf("the store of %v was bound to %v", id, m.id)
		}
		if err != nil {
			return
		}
		if p.timeline == 0 || p.timeline > srv.timeline {
			t.Fatalf("timeline %s of %s is asked for", p.timeline, srv.timeline)
		}
		if used && (m.pos.Received != before.Received || m.pos.Oldest != before.Oldest) {
			t.Fatalf("%+v became %+v before any WAL came", before, m.pos)
		}
	})
}
