package walsender

import (
	"errors"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// play drives a core by hand: a clock and the newest action.
type play struct {
	t   *testing.T
	c   *core
	now time.Time
}

const testTimeout = time.Minute

func newPlay(t *testing.T, p Plan, timeout time.Duration, received lsn.LSN) *play {
	now := time.Unix(1_700_000_000, 0)
	c := newCore(p, timeout, lsn.DefaultSegSize, 10*time.Second, now)
	if p.Historic && received == 0 {
		received = p.Next.Start
	}
	if err := c.available(received, NoBound, false, now); err != nil {
		t.Fatal(err)
	}
	return &play{t, c, now}
}

func (p *play) later(d time.Duration) *play { p.now = p.now.Add(d); return p }

// want asks the core and does what it says, as the shell would.
func (p *play) want(k kind) action {
	p.t.Helper()
	a := p.c.next(p.now)
	if a.kind != k {
		p.t.Fatalf("action %d, expected %d (%+v)", a.kind, k, a)
	}
	switch k {
	case doSend:
		if err := p.c.sentWAL(p.c.sent, a.limit, a.limit, p.now); err != nil {
			p.t.Fatal(err)
		}
	case doKeepalive, doCopyDone:
		p.c.wrote(p.now)
	}
	return a
}

// wait asks for a wait and lets it pass until d before its end.
func (p *play) wait() time.Duration {
	p.t.Helper()
	a := p.want(doWait)
	return a.until.Sub(p.now)
}

func (p *play) reply(w, f, a lsn.LSN, ask bool) (flush lsn.LSN, wake bool) {
	return p.c.reply(copyboth.StatusUpdate{Progress: lsn.Progress{Write: w, Flush: f, Apply: a}, ReplyRequested: ask}, p.now)
}

func TestCoreStreams(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000100)
	if a := p.want(doSend); a.limit != 0x3000100 {
		t.Fatalf("limit %s", a.limit)
	}
	if p.c.state != Catchup {
		t.Fatalf("state %s before it was found caught up", p.c.state)
	}
	if d := p.wait(); d != idleKeepalive {
		t.Fatalf("waits %s", d)
	}
	if p.c.state != Streaming {
		t.Fatalf("state %s after it caught up", p.c.state)
	}
	if err := p.c.available(0x3002000, NoBound, false, p.now); err != nil {
		t.Fatal(err)
	}
	p.want(doSend)
	if p.c.state != Streaming {
		t.Fatal("streaming does not go back to catchup")
	}
}

func TestCorePingsAndTimesOut(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	p.later(p.wait()) // 15 s of silence
	if a := p.want(doKeepalive); a.ping {
		t.Fatal("a ping before half of the timeout")
	}
	p.later(p.wait()) // 30 s
	if a := p.want(doKeepalive); !a.ping {
		t.Fatal("no ping at half of the timeout")
	}
	p.later(p.wait()) // 45 s
	if a := p.want(doKeepalive); a.ping {
		t.Fatal("a second ping while the first is unanswered")
	}
	if d := p.wait(); d != 15*time.Second {
		t.Fatalf("waits %s", d)
	}
	p.later(15 * time.Second)
	if a := p.want(doFinish); !errors.Is(a.err, ErrTimeout) {
		t.Fatalf("ended with %v", a.err)
	}
}

func TestCoreReplyResetsTheTimeout(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	p.c.owed = false
	for range 20 {
		p.later(14 * time.Second)
		p.c.due = time.Time{} // the shell was busy, not stalled
		if _, wake := p.reply(1, 1, 1, false); wake {
			t.Fatal("an ordinary reply needs no wake-up")
		}
		p.wait()
		p.later(time.Second)
		p.want(doKeepalive) // 15 s of silence from us
	}
	p.reply(1, 1, 1, true)
	if a := p.want(doKeepalive); a.ping {
		t.Fatal("the answer to a ping asks for no reply")
	}
	p.wait()
}

func TestCoreForgivesOwnStall(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	d := p.wait()
	p.later(d + 10*time.Minute) // the process stood still
	if a := p.want(doKeepalive); a.ping {
		t.Fatalf("only %s are held against the standby", p.now.Sub(p.c.lastReply))
	}
	p.later(p.wait())
	if a := p.want(doKeepalive); !a.ping {
		t.Fatal("no ping after half of the time that counts")
	}
}

func TestCoreTimeoutDisabled(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, 0, 0x3000000)
	for range 1000 {
		p.later(p.wait())
		if a := p.want(doKeepalive); a.ping {
			t.Fatal("pings although the timeout is disabled")
		}
	}
	// A write that blocks is another matter: nobody takes what we say.
	p.c.available(0x3000010, NoBound, false, p.now)
	for range int(silentMax/writeTick) - 1 {
		if err := p.c.blocked(p.later(writeTick).now); err != nil {
			t.Fatalf("gave up too early: %v", err)
		}
	}
	if err := p.c.blocked(p.later(writeTick).now); !errors.Is(err, ErrTimeout) {
		t.Fatalf("a dead peer is kept forever: %v", err)
	}
}

func TestCoreBlockedWrite(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3100000)
	if a := p.c.next(p.now); a.kind != doSend {
		t.Fatalf("action %d", a.kind)
	}
	for i := range 100 { // a slow standby that keeps replying is never dropped (K30)
		p.later(writeTick)
		if i%2 == 0 {
			p.reply(0x3000000, 0x3000000, 0, false)
		}
		if err := p.c.blocked(p.now); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for i := 0; err == nil; i++ {
		if i > 13 {
			t.Fatal("a standby that does not reply is kept")
		}
		err = p.c.blocked(p.later(writeTick).now)
	}
	if !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
}

func TestCoreEndOfTimeline(t *testing.T) {
	next := NextTimeline{2, 0x3005000}
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000, Historic: true, Next: next}, testTimeout, 0)
	if a := p.want(doSend); a.limit != next.Start {
		t.Fatalf("limit %s", a.limit)
	}
	p.want(doCopyDone)
	if d := p.wait(); d != idleKeepalive {
		t.Fatalf("waits %s", d)
	}
	p.later(10 * time.Second)
	p.reply(0x3005000, 0x3005000, 0, true)
	p.wait() // nothing follows our CopyDone
	p.c.clientDone(p.now)
	if a := p.want(doFinish); a.err != nil || a.drained {
		t.Fatalf("%+v", a)
	}
}

// TestCoreEndOfTimelineComesLater: the store follows a new timeline before it has all of the old one.
func TestCoreEndOfTimelineComesLater(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.want(doSend)
	p.c.left(NextTimeline{2, 0x3005000}, p.now)
	p.wait()
	for _, received := range []lsn.LSN{0x3003000, 0x3009000} {
		if err := p.c.available(received, NoBound, false, p.now); err != nil {
			t.Fatal(err)
		}
		if a := p.want(doSend); a.limit != min(received, 0x3005000) {
			t.Fatalf("limit %s", a.limit)
		}
	}
	p.want(doCopyDone)
}

func TestCoreTimelineLeftWhileStreaming(t *testing.T) {
	for _, sw := range []lsn.LSN{0x3000800, 0x3001000} { // below and at what was sent
		p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
		p.want(doSend)
		p.c.left(NextTimeline{2, sw}, p.now)
		p.want(doCopyDone)
		if f, _ := p.reply(0x3001000, 0x3001000, 0x3001000, false); f != sw || p.c.had() != sw {
			t.Fatalf("an ack above the fork went through: flush %s, a vote up to %s", f, p.c.had())
		}
	}
}

func TestCoreClientEndsCopy(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.c.clientDone(p.now)
	p.want(doCopyDone) // no WAL although there is some
	p.want(doFinish)
}

func TestCoreDrain(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.c.drain(p.now)
	p.c.available(0x3002000, NoBound, false, p.now) // comes too late
	if a := p.want(doSend); a.limit != 0x3001000 || p.c.state != Stopping {
		t.Fatalf("limit %s, state %s", a.limit, p.c.state)
	}
	if a := p.want(doKeepalive); !a.ping {
		t.Fatal("a drain asks for a confirmation at once")
	}
	p.wait()
	if _, wake := p.reply(0x3001000, 0x3000800, 0, false); !wake {
		t.Fatal("a reply while draining must wake the sender")
	}
	p.want(doKeepalive) // flush has not come so far
	p.reply(0x3001000, 0x3001000, 0, false)
	if a := p.want(doFinish); !a.drained || a.err != nil {
		t.Fatalf("%+v", a)
	}
}

func TestCoreDrainIsBounded(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.c.drain(p.now)
	p.want(doSend)
	p.want(doKeepalive)
	if d := p.wait(); d != p.c.drainIn {
		t.Fatalf("waits %s", d)
	}
	if a := p.later(p.c.drainIn).want(doFinish); !a.drained {
		t.Fatalf("%+v", a)
	}
	// pg_receivewal without --synchronous never reports a flush: its write counts.
	p = newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.c.drain(p.now)
	p.want(doSend)
	p.reply(0x3001000, 0, 0, false)
	p.want(doFinish)
}

func TestCoreClampsAcks(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	got, _ := p.reply(0x3000800, 0x4000000, 0x3001000, false)
	if got != 0x3001000 || p.c.had() != 0x3000000 { // nothing was sent yet
		t.Fatalf("clamped to %s, as a vote to %s", got, p.c.had())
	}
	if p.c.above != (counters{received: 1, sent: 1}) {
		t.Fatalf("counted %+v", p.c.above)
	}
	if p.c.report.Flush != 0x4000000 {
		t.Fatal("the view shows what the standby said")
	}
}

// TestCoreVouches: what a report counts for when it overtakes the send loop's own bookkeeping. A standby
// says the same again only after wal_receiver_status_interval.
func TestCoreVouches(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	p.reply(0x2FFF000, 0x2FFF000, 0x2FFF000, false)
	if p.c.state != Catchup || p.c.handed != 0x3000000 {
		t.Fatalf("before anything was sent: %v, %v", p.c.state, p.c.handed)
	}
	p.c.sends(0x3000800) // the write has not returned
	p.reply(0x3000800, 0x3000800, 0, false)
	if p.c.state != Catchup || p.c.handed != 0x3000800 || p.c.sent != 0x3000000 || p.c.above.sent != 0 {
		t.Fatalf("half way: %v, %v", p.c.state, p.c.handed)
	}
	p.c.sends(0x3001000)
	p.reply(0x3001000, 0x3001000, 0, false)
	if p.c.state != Streaming || p.c.handed != 0x3001000 || p.c.above.sent != 0 {
		t.Fatalf("at the end: %v, %v", p.c.state, p.c.handed)
	}
	historic := newPlay(t, Plan{Timeline: 1, Start: 0x3000000, Historic: true, Next: NextTimeline{2, 0x3000000}}, testTimeout,
		0x3000000)
	historic.reply(0x3000000, 0x3000000, 0, false)
	if historic.c.state != Catchup {
		t.Fatalf("a timeline that has ended streams: %v", historic.c.state)
	}
}

func TestCoreInvariants(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3001000)
	for _, tc := range []struct{ start, end lsn.LSN }{
		{0x3000001, 0x3000100}, {0x3000000, 0x3000000}, {0x3000000, 0x3001001}, {0x2FFFFFF, 0x3000100},
	} {
		if err := p.c.sentWAL(tc.start, tc.end, 0x3001000, p.now); !errors.Is(err, ErrInvariant) {
			t.Errorf("message %s to %s: %v", tc.start, tc.end, err)
		}
	}
	if err := p.c.available(0x3000FFF, NoBound, false, p.now); !errors.Is(err, ErrInvariant) {
		t.Errorf("a horizon that goes back: %v", err)
	}
}
