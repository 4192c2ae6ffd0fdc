package walsender

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestLag(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	var l lagTracker
	if l.value() != LagUnknown {
		t.Fatal("known before the first report")
	}
	l.available(100, at(0))
	l.available(200, at(10))
	l.available(300, at(20))
	l.confirmed(100, false, at(21))
	if l.value() != 21*time.Second {
		t.Fatalf("lag %s", l.value())
	}
	l.confirmed(150, false, at(25)) // half way between 0 s and 10 s
	if l.value() != 20*time.Second {
		t.Fatalf("lag between samples %s", l.value())
	}
	l.confirmed(300, false, at(25)) // the newest confirmed sample counts
	if l.value() != 5*time.Second {
		t.Fatalf("lag %s", l.value())
	}
	l.confirmed(300, false, at(35))
	if l.value() != 5*time.Second {
		t.Fatal("cleared by a report that is no idle one")
	}
	l.confirmed(300, true, at(45))
	if l.value() != LagUnknown {
		t.Fatal("an idle standby shows its last busy moment")
	}
	l.available(400, at(50))
	l.confirmed(0, false, at(51)) // pg_receivewal never applies
	if l.value() != LagUnknown {
		t.Fatalf("lag %s without progress", l.value())
	}
}

func TestLagIsBounded(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	var l lagTracker
	const n = 100_000
	for i := range n {
		l.available(lsn.LSN(i+1), begin.Add(time.Duration(i)*time.Second))
	}
	if len(l.pending) > lagSamples || cap(l.pending) > 2*lagSamples {
		t.Fatalf("%d samples", len(l.pending))
	}
	now := begin.Add(n * time.Second)
	l.confirmed(n/2, false, now)
	// Coarse, but within a few steps of what is left of the resolution.
	if got, want := l.value(), n/2*time.Second; got < want || got > want+5*n/lagSamples*time.Second {
		t.Fatalf("lag %s, expected about %s", got, want)
	}
}

// TestLagOfABusyStandby: while flush and apply follow, the write position is said again and again, and its lag stays
// known as in PostgreSQL; it goes when all has been applied twice.
func TestLagOfABusyStandby(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x1000000}, testTimeout, 0x1000000)
	report := func(write, flush, apply lsn.LSN) (known [3]bool) {
		p.later(time.Second)
		p.c.reply(copyboth.StatusUpdate{Progress: lsn.Progress{Write: write, Flush: flush, Apply: apply}}, p.now)
		for i := range p.c.lags {
			known[i] = p.c.lags[i].value() != LagUnknown
		}
		return known
	}
	p.bound(0x1001000, NoBound)
	p.want(doSend)
	for i, step := range []struct {
		write, flush, apply lsn.LSN
		known               [3]bool
	}{
		{0x1001000, 0, 0, [3]bool{true, false, false}},
		{0x1001000, 0, 0, [3]bool{true, false, false}},
		{0x1001000, 0x1000800, 0, [3]bool{true, true, false}},
		{0x1001000, 0x1001000, 0x1000800, [3]bool{true, true, true}},
		{0x1001000, 0x1001000, 0x1000800, [3]bool{true, true, true}},
		{0x1001000, 0x1001000, 0x1001000, [3]bool{true, true, true}},
		{0x1001000, 0x1001000, 0x1001000, [3]bool{}},
	} {
		if got := report(step.write, step.flush, step.apply); got != step.known {
			t.Errorf("report %d: known %v, want %v", i, got, step.known)
		}
	}
}

// TestStartAheadIsNotSent: a start ahead of the horizon, and what lies beyond a fork, is nothing that was sent.
func TestStartAheadIsNotSent(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: 0x1002000}, testTimeout, 0x1001000)
	if had := p.c.had(); had != 0x1001000 {
		t.Errorf("ahead of the horizon: %s", had)
	}
	if err := p.c.available(0x1003000, NoBound, false, p.now); err != nil {
		t.Fatal(err)
	}
	if had := p.c.had(); had != 0x1002000 {
		t.Errorf("at the start: %s", had)
	}
	p.want(doSend)
	p.c.left(NextTimeline{2, 0x1002800}, p.now)
	if had := p.c.had(); had != 0x1002800 {
		t.Errorf("beyond the fork: %s", had)
	}
}
