package walsource

import (
	"bytes"
	"encoding/binary"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

func TestStreamAndReport(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	r := start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
	c.send(xlog(fakeSeg+3, strings.Repeat("x", 100_000)), keepalive(fakeSeg+9_000_000, false))
	c.awaitFlush(fakeSeg + 100_003)
	s := r.await("keepalive", func(s Status) bool { // Reported moves just after the report is on its way
		return s.UpstreamEnd == fakeSeg+9_000_000 && s.Reported.Flush == fakeSeg+100_003
	})
	if s.State != walreceiver.Streaming || s.Received != fakeSeg+100_003 || s.Reported.Flush != s.Received || s.LastMessage.IsZero() ||
		s.Timeline != 1 || s.ServerVersionNum != 150020 || s.Settings["wal_segment_size"] != "16MB" ||
		s.Parameters["server_version"] != "15.20" || s.SlotState != walreceiver.SlotNone {
		t.Errorf("%+v", s)
	}
	if got := m.bytes(); got != "abc"+strings.Repeat("x", 100_000) {
		t.Errorf("stored %d bytes", len(got))
	}
	if id, _ := m.Identity(); id != (walstore.Identity{System: 7000000000000000001, SegSize: 16 << 20, ServerMajor: 15}) {
		t.Errorf("adopted %+v", id)
	}
	if want := "START_REPLICATION PHYSICAL 0/1000000 TIMELINE 1"; !slices.Contains(w.asked(), want) {
		t.Errorf("asked %q, expected %s", w.asked(), want)
	}
}

func TestLeavingTellsTheLastPosition(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	m.hold = true
	r := start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	r.await("WAL", func(s Status) bool { return s.Received == fakeSeg+3 })
	m.locked(func() { m.pos.Written, m.pos.Flushed = m.pos.Received, m.pos.Received }) // and nobody is told
	done := make(chan error, 1)
	go func() { done <- r.stop() }()
	c.awaitFlush(fakeSeg + 3)
	c.send(bytes.Repeat(xlog(fakeSeg+3, strings.Repeat("y", 1000)), 100)) // is drained, not taken
	if typ, _ := c.next(); typ != 'c' {
		t.Errorf("expected CopyDone, got %q", typ)
	}
	if typ, _ := c.next(); typ != 'X' {
		t.Errorf("expected Terminate, got %q", typ)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := m.bytes(); got != "abc" {
		t.Errorf("stored %d bytes", len(got))
	}
}

func TestShutdownPingsDoNotStorm(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	m.hold = true
	start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	began := time.Now()
	answers := 0
	for time.Since(began) < 700*time.Millisecond { // each answer draws the next ping, as in facts E7
		c.send(keepalive(fakeSeg+3, true))
		c.report()
		answers++
	}
	if answers > 6 {
		t.Errorf("%d answers in %s", answers, time.Since(began))
	}
	c.send(keepalive(fakeSeg+3, true))
	m.flush()
	c.awaitFlush(fakeSeg + 3)
	const gap = 200 * time.Millisecond // between answers that say the same
	const pings = 50                   // enough that a busy machine's pauses do not count
	began = time.Now()
	for range pings {
		c.send(keepalive(fakeSeg+3, true))
		c.report()
	}
	if took := time.Since(began); took > pings*gap/2 {
		t.Errorf("what the walsender waits for came after %s each", took/pings)
	}
	c.send(wire.AppendFrame(nil, 'C', []byte("COPY 0\x00")))
	c.Close()
}

func TestStatusWhileTheDiskStalls(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{"SHOW wal_sender_timeout": ready(row("SHOW", "1600ms"))}), newMemStore()
	m.stall = make(chan struct{})
	r := start(t, w, m, func(o *Options) { o.StatusInterval, o.Timeout = -1, time.Second })
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"), keepalive(fakeSeg+3, true)) // the ping lies unread behind the WAL
	began := time.Now()
	for range 4 {
		if u := c.report(); u.Flush != 0 || u.ReplyRequested {
			t.Errorf("reported %+v", u)
		}
	}
	if d := time.Since(began); d < 1200*time.Millisecond {
		t.Errorf("four quarters of 1600ms took %s", d)
	}
	close(m.stall)
	c.awaitFlush(fakeSeg + 3)
	if s := r.Status(); s.Reconnects != 0 {
		t.Error("a stalled disk is no silent upstream")
	}
}

func TestSilentUpstreamIsLeft(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	r := start(t, w, m, func(o *Options) { o.StatusInterval, o.Timeout = -1, 200*time.Millisecond })
	c := <-w.copies
	if u := c.report(); !u.ReplyRequested {
		t.Errorf("%+v", u)
	}
	if typ, _ := c.next(); typ != 0 {
		t.Errorf("got %q", typ)
	}
	c.Close()
	(<-w.copies).Close()
	r.await("reconnect", func(s Status) bool { return s.Reconnects > 0 })
}

func TestResumeAtTheSegmentAndNeverReportWhatDidNotArrive(t *testing.T) {
	slot := map[string][]byte{"READ_REPLICATION_SLOT": ready(row("READ_REPLICATION_SLOT", "physical", "0/1000003", "1"))}
	w, m := newWalsender(t, slot), newMemStore()
	start(t, w, m, func(o *Options) { o.Slot = "s" })
	c := <-w.copies
	c.send(xlog(fakeSeg, "abcdef"))
	c.awaitFlush(fakeSeg + 6)
	c.Close()
	c = <-w.copies
	if want := "START_REPLICATION SLOT s PHYSICAL 0/1000000 TIMELINE 1"; w.asked()[len(w.asked())-1] != want {
		t.Errorf("asked %q", w.asked()[len(w.asked())-1])
	}
	c.send(xlog(fakeSeg, "ab"))
	if u := c.report(); u.Write != fakeSeg+2 || u.Flush != 0 {
		t.Errorf("below restart_lsn: %+v", u)
	}
	c.send(xlog(fakeSeg+2, "cd"))
	c.awaitFlush(fakeSeg + 4)
	c.send(xlog(fakeSeg+4, "efgh"))
	c.awaitFlush(fakeSeg + 8)
	c.Close()
	if m.bytes() != "abcdefgh" {
		t.Errorf("stored %q", m.bytes())
	}
}

func TestUpstreamShutdownIsOrderly(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	r := start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"), wire.AppendFrame(nil, 'C', []byte("COPY 0\x00")))
	r.await("shutdown", func(s Status) bool { return strings.Contains(s.LastError, walreceiver.ErrUpstreamShutdown.Error()) })
	c.Close()
	(<-w.copies).Close()
}

// TestHostileUpstream: no message makes the store wrong; each ends the connection with a reason.
func TestHostileUpstream(t *testing.T) {
	header := func(size int, payload ...byte) []byte { return append(wire.AppendHeader(nil, 'd', size), payload...) }
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"gap":                  {xlog(fakeSeg+9, "zzz"), "expected 0/1000003"},
		"step back":            {xlog(fakeSeg, "zzz"), "expected 0/1000003"},
		"overflow":             {append(wire.AppendHeader(nil, 'd', 30), xlogHeader(1<<64-3)...), "WAL at FFFFFFFF/FFFFFFFD"},
		"short WAL header":     {header(10, append([]byte{'w'}, make([]byte, 9)...)...), "XLogData of 10 bytes"},
		"short keepalive":      {header(17, append([]byte{'k'}, make([]byte, 16)...)...), "keepalive of 17 bytes"},
		"long keepalive":       {header(19, append([]byte{'k'}, make([]byte, 18)...)...), "keepalive of 19 bytes"},
		"unknown tag":          {header(3, 's', 1, 2), "invalid replication message type 115"},
		"no tag":               {header(0), "empty replication message"},
		"huge WAL":             {append(wire.AppendHeader(nil, 'd', 1<<30), xlogHeader(fakeSeg+3)...), "bytes of WAL in one message"},
		"unknown frame":        {wire.AppendFrame(nil, 'D', []byte{0, 0}), "unexpected message type"},
		"huge control message": {wire.AppendHeader(nil, 'S', 1<<30), "at most"},
		"length below 4":       {[]byte{'d', 0, 0, 0, 1}, "invalid message length"},
		"malformed error":      {wire.AppendFrame(nil, 'E', []byte("x")), "malformed ErrorResponse"},
		"refusal":              {fail("FATAL", "57P01", "terminating connection due to administrator command"), "57P01"},
		"end inside a message": {xlog(fakeSeg+3, "defghi")[:33], "closed the connection unexpectedly"},
		"no next timeline": {append(wire.AppendHeader(nil, 'c', 0),
			ready(wire.AppendFrame(nil, 'C', []byte("START_REPLICATION\x00")))...), "after the end of streaming"},
		"next timeline beyond": {append(wire.AppendHeader(nil, 'c', 0),
			ready(wire.AppendFrame(row("START_STREAMING", "2", "0/9000000"), 'C', []byte("START_REPLICATION\x00")))...),
			"WAL came only up to 0/1000003"},
	} {
		t.Run(name, func(t *testing.T) {
			w, m := newWalsender(t, nil), newMemStore()
			r := start(t, w, m, nil)
			conn := <-w.copies
			conn.send(xlog(fakeSeg, "abc"))
			conn.awaitFlush(fakeSeg + 3)
			conn.send(c.send)
			conn.CloseWriteHalf()
			r.await(name, func(s Status) bool { return strings.Contains(s.LastError, c.want) })
			conn.Close()
			if m.bytes() != "abc" {
				t.Errorf("stored %q", m.bytes())
			}
			if p := m.Positions(); p.Received != fakeSeg+3 {
				t.Errorf("positions %+v", p)
			}
		})
	}
}

func (c *copyConn) CloseWriteHalf() { c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func xlogHeader(start lsn.LSN) []byte {
	b := append([]byte{'w'}, binary.BigEndian.AppendUint64(nil, uint64(start))...)
	return append(b, make([]byte, 16+5)...)
}

func TestTimelineSwitchOnOneConnection(t *testing.T) {
	history := "1\t0/1000006\tno recovery target specified\n"
	w, m := newWalsender(t, map[string][]byte{
		"TIMELINE_HISTORY 2": ready(row("TIMELINE_HISTORY", "00000002.history", history)),
	}), newMemStore()
	start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abcdef"))
	c.awaitFlush(fakeSeg + 6)
	c = w.promote(c, nil)
	if got, want := w.asked()[len(w.asked())-1], "START_REPLICATION PHYSICAL 0/1000000 TIMELINE 2"; got != want {
		t.Errorf("asked %s, expected %s", got, want)
	}
	if b, err := m.HistoryFile(2); err != nil || string(b) != history {
		t.Errorf("history %q, %v", b, err)
	}
	c.send(xlog(fakeSeg, "abcdefgh"))
	c.awaitFlush(fakeSeg + 8)
	c.Close()
	if p := m.Positions(); p.Timeline != 2 || m.bytes() != "abcdefgh" {
		t.Errorf("%+v, %q", p, m.bytes())
	}
}

// TestFeedbackIsSent, changed and withdrawn.
func TestFeedbackIsSent(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	fb := &fakeFeedback{changed: make(chan struct{}, 1)}
	start(t, w, m, func(o *Options) { o.Feedback, o.StatusInterval = fb, 50*time.Millisecond })
	c := <-w.copies
	next := func() copyboth.HotStandbyFeedback {
		for {
			switch typ, b := c.next(); typ {
			case 'h':
				h, err := copyboth.DecodeHotStandbyFeedback(b)
				if err != nil {
					t.Fatal(err)
				}
				return h
			case 0:
				t.Fatal("the receiver left")
			}
		}
	}
	c.report() // the interval passed, and yet no zeros are said that are not settled
	fb.set(copyboth.HotStandbyFeedback{Xmin: 1<<32 | 700})
	fb.settle()
	if h := next(); h.Xmin != 1<<32|700 {
		t.Errorf("%+v", h)
	}
	c.Close()
	c = <-w.copies
	if h := next(); h.Xmin != 1<<32|700 {
		t.Errorf("on the next connection: %+v", h)
	}
	fb.set(copyboth.HotStandbyFeedback{})
	for h := next(); h.Xmin != 0; h = next() {
	}
	c.Close()
}

// TestIdleAtASegmentStart: no WAL comes for a while, and none is needed to know where the store begins.
func TestIdleAtASegmentStart(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"IDENTIFY_SYSTEM": ready(row("X", fakeSystem, "1", "0/1000000", "NULL")),
	}), newMemStore()
	start(t, w, m, nil)
	c := <-w.copies
	defer c.Close()
	if p := m.Positions(); p.Timeline != 1 || p.Received != fakeSeg {
		t.Errorf("%+v", p)
	}
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
}

// The proxy is ready soon even if the upstream has nothing to send.
func TestIdleUpstreamIsAskedForItsFirstMessage(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	r := start(t, w, m, func(o *Options) { o.StatusInterval = -1 })
	c := <-w.copies
	if u := c.report(); !u.ReplyRequested {
		t.Errorf("first report %+v, want it to request a reply", u)
	}
	if at := r.Status().LastMessage; !at.IsZero() {
		t.Errorf("a message at %v, although none was sent", at)
	}
	c.send(keepalive(fakeSeg, false))
	r.await("the keepalive", func(s Status) bool { return !s.LastMessage.IsZero() })
}
