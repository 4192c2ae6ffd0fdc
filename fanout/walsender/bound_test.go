package walsender

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// bound moves the end and what is covered.
func (p *play) bound(received, covered lsn.LSN) {
	p.t.Helper()
	if err := p.c.available(received, covered, false, p.now); err != nil {
		p.t.Fatal(err)
	}
}

// TestBoundStream: a standby that is bounded is sent WAL up to what is covered, is caught up there, and its reports
// count as those of others.
func TestBoundStream(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	p.bound(0x3009000, 0x3000000)
	if p.wait(); p.c.sent != 0x3000000 {
		t.Fatalf("sent %s, nothing is covered", p.c.sent)
	}
	p.bound(0x3009000, 0x3000128)
	if a := p.want(doSend); a.limit != 0x3000128 {
		t.Fatalf("limit %s, covered is 3000128", a.limit)
	}
	p.wait()
	if p.c.state != Streaming {
		t.Errorf("state %s with all that is covered", p.c.state)
	}
	if got, _ := p.reply(0x3000128, 0x3000128, 0x3000128, false); got != 0x3000128 || p.c.above != (counters{}) {
		t.Errorf("clamped to %s, counted %+v", got, p.c.above)
	}
	// It has more from elsewhere: its slot follows, as that of any other.
	if got, _ := p.reply(0x3008000, 0x3008000, 0x3000128, false); got != 0x3008000 || p.c.above.received != 0 {
		t.Errorf("clamped to %s, counted %+v", got, p.c.above)
	}
	p.later(idleKeepalive).want(doKeepalive)
	p.bound(0x3009000, NoBound) // its name has entered the rule
	if a := p.want(doSend); a.limit != 0x3009000 {
		t.Fatalf("limit %s, all is to be sent", a.limit)
	}
}

// TestBoundGoesBack: a standby that has more than is covered waits, however long, and goes on where it was.
func TestBoundGoesBack(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, 0, 0x3002000)
	p.want(doSend)
	p.bound(0x3004000, 0x3000100)
	for range 20 {
		p.later(p.wait())
		p.want(doKeepalive)
	}
	p.bound(0x3006000, 0x3004000)
	if a := p.want(doSend); a.limit != 0x3004000 {
		t.Errorf("limit %s", a.limit)
	}
}

// TestBoundStart: where a stream may start is judged by what is received, not by what is covered (ruling R28).
func TestBoundStart(t *testing.T) {
	const received = 0x3000100
	for name, c := range map[string]struct {
		at   lsn.LSN
		then kind // after aheadMax
	}{
		"received":           {received, doKeepalive},
		"a segment above":    {received + lsn.LSN(lsn.DefaultSegSize), doFinish},
		"more than that":     {received + lsn.LSN(lsn.DefaultSegSize) + 1, doFinish},
		"covered, or before": {0x3000000, doKeepalive},
	} {
		p := newPlay(t, Plan{Timeline: 1, Start: c.at}, 0, received)
		p.bound(received, 0x3000000)
		if c.at > received+lsn.LSN(lsn.DefaultSegSize) {
			if a := p.want(doFinish); a.err == nil {
				t.Errorf("%s: ended without an error", name)
			}
			continue
		}
		p.wait()
		p.c.wrote(p.now.Add(aheadMax - idleKeepalive))
		p.later(aheadMax)
		if a := p.c.next(p.now); a.kind != c.then {
			t.Errorf("%s: action %d after %s, expected %d", name, a.kind, aheadMax, c.then)
		}
	}
}

// TestBoundEndsAtFork: what is covered bounds no timeline that was left: its end comes.
func TestBoundEndsAtFork(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	p.bound(0x3009000, 0x3000100)
	p.want(doSend)
	p.c.left(NextTimeline{2, 0x3004000}, p.now)
	if p.c.horizon != 0x3000100 {
		t.Errorf("the horizon is %s before the store was looked at", p.c.horizon)
	}
	p.bound(0x3004000, lsn.Invalid)
	if a := p.want(doSend); a.limit != 0x3004000 {
		t.Errorf("limit %s, the fork is 3004000", a.limit)
	}
	p.want(doCopyDone)
}

// TestBoundDrain: our own stop sends nothing beyond what is covered.
func TestBoundDrain(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, 0x3000000)
	p.bound(0x3009000, 0x3000100)
	p.c.drain(p.now)
	p.bound(0x3009000, 0x3002000)
	if a := p.want(doSend); a.limit != 0x3000100 {
		t.Errorf("limit %s", a.limit)
	}
	p.reply(0x3000100, 0x3000100, 0, false)
	if a := p.want(doFinish); !a.drained {
		t.Errorf("%+v", a)
	}
}
