package walsender

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

const base = lsn.LSN(0x3000000)

const copyBoth = `W "\x00\x00\x00"`

// TestChunking is facts E4: 128 KiB, cut down to a page, up to the horizon; the same from memory and
// from a file, over every kind of connection.
func TestChunking(t *testing.T) {
	for _, conns := range []struct {
		name string
		f    func(testing.TB) (server, client net.Conn)
	}{{"tcp", tcpPair}, {"unix", unixPair}, {"pipe", pipePair}, {"tls", tlsPair}} {
		for _, disk := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s disk=%v", conns.name, disk), func(t *testing.T) {
				store := newFakeStore(t, base, 2<<20)
				if disk {
					store.onDisk(t)
				}
				store.receive(base + 300_000)
				c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base + 0x123}, conns: conns.f})
				c.expect(copyBoth,
					"w 0/3000123 +130781 end 0/30493E0",
					"w 0/3020000 +131072 end 0/30493E0",
					"w 0/3040000 +37856 end 0/30493E0")
				store.receive(base + 300_001)
				c.expect("w 0/30493E0 +1 end 0/30493E1")
				store.receive(base + 300_001 + 131_072)
				c.expect("w 0/30493E1 +131072 end 0/30693E1") // as much as one message takes: not cut
				store.receive(base + 300_001 + 2*131_072 + 1)
				c.expect("w 0/30693E1 +125983 end 0/30893E2", "w 0/3088000 +5090 end 0/30893E2")
				c.write('c', nil)
				c.expect(`c ""`)
				if err := c.ended(); err != nil || c.next != nil {
					t.Fatal(c.next, err)
				}
				if st := c.sender.Status(); st.Bytes != uint64(store.received-base-0x123) || (st.FromDisk == st.Bytes) != disk {
					t.Errorf("%d bytes, %d from disk", st.Bytes, st.FromDisk)
				}
			})
		}
	}
}

func TestKeepaliveOnRequest(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 100)
	c := attachAtBase(t, store)
	c.expect(copyBoth, "w 0/3000000 +100 end 0/3000064")
	c.reply(0, 0, 0, true)
	c.expect("k 0/3000064 false")
	c.write('d', copyboth.HotStandbyFeedback{Xmin: 735}.Append(nil))
	c.reply(base+100, base+100, base+50, true)
	c.expect("k 0/3000064 false")
	waitFor(t, "streaming", func() bool { return c.sender.Status().State == Streaming })
	st := c.sender.Status()
	if st.Flush != base+100 || st.Apply != base+50 || st.Feedback.Xmin != 735 {
		t.Errorf("%+v", st)
	}
	c.conn.Close()
	if err := c.ended(); !errors.Is(err, ErrSessionOver) {
		t.Fatal(err)
	}
}

func TestEndOfHistoricTimeline(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 0x5000)
	store.fork(base + 0x5000)
	plan, err := Admit(store.History(), 1, base)
	if err != nil {
		t.Fatal(err)
	}
	c := attach(t, store, setup{plan: plan, timeout: time.Minute})
	c.expect(copyBoth, "w 0/3000000 +20480 end 0/3005000", `c ""`)
	c.reply(base+0x5000, base+0x5000, 0, true) // not answered any more
	c.write('c', nil)
	if err := c.ended(); err != nil || c.next == nil || *c.next != (NextTimeline{2, base + 0x5000}) {
		t.Fatal(c.next, err)
	}
}

func TestTimelineSwitchWhileStreaming(t *testing.T) {
	for _, tc := range []struct {
		name string
		at   lsn.LSN
		more []string
	}{
		{"at the end", base + 0x1000, nil},
		{"below what was sent", base + 0x800, nil},
		{"above what was sent", base + 0x3000, []string{"w 0/3001000 +8192 end 0/3003000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := newFakeStore(t, base, 1<<20)
			store.receive(base + 0x1000)
			c := attachAtBase(t, store)
			c.expect(copyBoth, "w 0/3000000 +4096 end 0/3001000")
			store.fork(tc.at)
			c.expect(append(tc.more, `c ""`)...)
			c.write('c', nil)
			if err := c.ended(); err != nil || c.next == nil || *c.next != (NextTimeline{2, tc.at}) {
				t.Fatal(c.next, err)
			}
		})
	}
	t.Run("gone from the history", func(t *testing.T) {
		store := newFakeStore(t, base, 1<<20)
		c := attachAtBase(t, store)
		c.expect(copyBoth)
		store.mu.Lock()
		store.history = lsn.History{Timeline: 9}
		store.nudge()
		store.mu.Unlock()
		if e := pgerror.From(c.ended()); e.Message != "requested timeline 1 is not in this server's history" {
			t.Fatal(e)
		}
	})
}

// TestRefusedReplies is facts E3: what a standby may not say, and what it costs.
func TestRefusedReplies(t *testing.T) {
	const silent = "" // the session ends without a message
	for _, tc := range []struct {
		name  string
		typ   byte
		body  []byte
		want  string
		fatal bool
	}{
		{"copy fail", 'f', []byte("no\x00"), `invalid standby message type "f"`, true},
		{"query", 'Q', []byte("IDENTIFY_SYSTEM\x00"), `invalid standby message type "Q"`, true},
		{"terminate", 'X', nil, silent, false},
		{"unknown inner tag", 'd', []byte("z"), silent, false},
		{"empty payload", 'd', nil, "no data left in message", false},
		{"short status", 'd', []byte("r123"), "insufficient data left in message", false},
		{"status without its last byte", 'd', []byte("r" + strings.Repeat("\x00", 32)), "no data left in message", false},
		{"short feedback", 'd', []byte("h123"), "insufficient data left in message", false},
		{"long copy done", 'c', make([]byte, 10_001), silent, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := newFakeStore(t, base, 1<<20)
			c := attachAtBase(t, store)
			c.expect(copyBoth)
			c.write(tc.typ, tc.body)
			err := c.ended()
			if over := errors.Is(err, ErrSessionOver); over != (tc.want == silent) {
				t.Fatal(err)
			} else if over {
				return
			}
			if e := pgerror.From(err); e.Message != tc.want || e.IsFatal() != tc.fatal || e.Code != pgerror.ProtocolViolation {
				t.Fatal(e)
			}
		})
	}
}

// TestLongReplyIsBounded: PostgreSQL ignores what follows the fields; we do too, without storing it.
func TestLongReplyIsBounded(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	c := attachAtBase(t, store)
	c.expect(copyBoth)
	body := append(copyboth.StatusUpdate{Progress: lsn.Progress{Write: 5}, ReplyRequested: true}.Append(nil), make([]byte, 1<<20)...)
	c.write('d', body)
	c.expect("k 0/3000000 false")
	if got := c.sender.Status().Write; got != 5 {
		t.Errorf("write %s", got)
	}
}

// TestErrorAfterCopyBoth: the session can go on after an error, what was read ahead is kept.
func TestErrorAfterCopyBoth(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 100)
	removed := pgerror.New(pgerror.UndefinedFile, "requested WAL segment %s has already been removed", "000000010000000000000003")
	store.fail = removed
	c := attachAtBase(t, store)
	c.expect(copyBoth)
	if err := c.ended(); !errors.Is(err, removed) || errors.Is(err, ErrSessionOver) {
		t.Fatal(err)
	}
	// The connection is as it was: no deadline, frames intact.
	c.write('Q', []byte("IDENTIFY_SYSTEM\x00"))
	h, err := c.sender.o.Conn.Frames.Next()
	if err != nil || h.Type != 'Q' {
		t.Fatal(h, err)
	}
}

// presaid are the ends of a connection over which the standby has sent frames before the stream begins.
func presaid(typ byte, body []byte) func(testing.TB) (server, client net.Conn) {
	return func(t testing.TB) (server, client net.Conn) {
		server, client = tcpPair(t)
		if _, err := client.Write(wire.AppendFrame(nil, typ, body)); err != nil {
			t.Fatal(err)
		}
		return server, client
	}
}

// TestStartRefusedBeforeReplies: what a client sent behind a command that is refused is the next command.
func TestStartRefusedBeforeReplies(t *testing.T) {
	for range 50 {
		store := newFakeStore(t, base, 1<<20)
		c := attach(t, store, setup{
			plan: Plan{Timeline: 1, Start: base + 1<<40}, timeout: time.Minute, conns: presaid('Q', []byte("next\x00")),
		})
		c.expect(copyBoth)
		if e := pgerror.From(c.ended()); !strings.HasPrefix(e.Message, "requested starting point") {
			t.Fatal(e)
		}
		expectNext(t, c)
	}
}

// TestErrorBesideOddReply: a session goes on after an ERROR only if it stands between two frames.
func TestErrorBesideOddReply(t *testing.T) {
	for range 50 {
		store := newFakeStore(t, base, 1<<20)
		store.receive(base + 100)
		store.fail = pgerror.New(pgerror.UndefinedFile, "requested WAL segment has already been removed")
		c := attach(t, store, setup{
			plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, conns: presaid('Q', []byte("next\x00")),
		})
		c.expect(copyBoth)
		err := c.ended()
		if e := pgerror.From(err); e.IsFatal() && e.Message != `invalid standby message type "Q"` {
			t.Fatal(e)
		} else if !e.IsFatal() && !errors.Is(err, ErrSessionOver) {
			expectNext(t, c)
		}
	}
}

func expectNext(t *testing.T, c *standby) {
	t.Helper()
	_ = c.sender.o.Conn.Net.SetReadDeadline(time.Now().Add(patience))
	h, err := c.sender.o.Conn.Frames.Next()
	if err != nil || h.Type != 'Q' || h.Size != 5 {
		t.Fatalf("the next frame is %q of %d bytes, %v", h.Type, h.Size, err)
	}
}

func TestAheadOfHorizon(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base + 64}, timeout: time.Minute})
	c.expect(copyBoth)
	c.reply(0, 0, 0, true) // keepalives flow while it waits
	c.expect("k 0/3000040 false")
	store.receive(base + 65)
	c.expect("w 0/3000040 +1 end 0/3000041")
}

func TestDrain(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 0x1000)
	c := attachAtBase(t, store)
	c.expect(copyBoth, "w 0/3000000 +4096 end 0/3001000")
	c.cancel(fmt.Errorf("shutdown: %w", ErrDrain))
	c.expect("k 0/3001000 true")
	if st := c.sender.Status().State; st != Stopping {
		t.Fatalf("state %s", st)
	}
	c.reply(base+0x1000, base+0x1000, base, false)
	c.expect(`C "COPY 0\x00"`, "EOF")
	if err := c.ended(); !errors.Is(err, ErrSessionOver) {
		t.Fatal(err)
	}
}

// TestCancel: the cause of the context becomes the standby's error.
func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		cause error
		want  pgerror.Code
	}{
		{errors.New("bye"), pgerror.AdminShutdown},
		{pgerror.New(pgerror.QueryCanceled, "canceling statement due to user request"), pgerror.QueryCanceled},
	} {
		store := newFakeStore(t, base, 1<<20)
		c := attachAtBase(t, store)
		c.expect(copyBoth)
		c.cancel(tc.cause)
		if e := pgerror.From(c.ended()); e.Code != tc.want {
			t.Fatal(e)
		}
	}
}

// TestSlowStandbyDelaysNobody: one reads nothing at all, the other gets everything meanwhile.
func TestSlowStandbyDelaysNobody(t *testing.T) {
	store := newFakeStore(t, base, 32<<20)
	slow := attachAtBase(t, store)
	fast := attachAtBase(t, store)
	fast.expect(copyBoth)
	slow.expect(copyBoth)
	for end := base; end < base+32<<20; {
		end += 1 << 20
		store.receive(end)
		fast.until(end)
	}
	if st := slow.sender.Status(); st.Sent == base+32<<20 {
		t.Fatal("the sockets held all of it: the test shows nothing")
	}
	slow.until(base + 32<<20)
}
