package walsender

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestCoreAhead(t *testing.T) {
	for _, tc := range []struct {
		name  string
		above lsn.LSN
		known lsn.LSN
		after time.Duration // until the refusal
	}{
		{"one byte", 1, 0, aheadMax},
		{"a segment", 16 << 20, 0, aheadMax},
		{"more than a segment", 16<<20 + 1, 0, 0},
		{"more than a segment, which the primary has", 64 << 20, 0x3000000 + 64<<20, aheadMax},
		{"more than the primary is known to have", 64<<20 + 1, 0x3000000 + 64<<20, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000 + tc.above, Known: tc.known}, testTimeout, 0x3000000)
			begun, a := p.now, p.c.next(p.now)
			for a.kind != doFinish {
				if a.kind == doKeepalive {
					p.c.wrote(p.now)
				} else {
					p.now = a.until
				}
				a = p.c.next(p.now)
			}
			if got := p.now.Sub(begun); got != tc.after {
				t.Errorf("refused after %s, expected %s", got, tc.after)
			}
			want := "requested starting point " + (0x3000000 + tc.above).String() +
				" is ahead of the WAL flush position of this server 0/3000000"
			if e := pgerror.From(a.err); e.Message != want || e.Code != pgerror.InternalError {
				t.Errorf("%v", e)
			}
		})
	}
	p := newPlay(t, Plan{Timeline: 1, Start: 0x3000100}, testTimeout, 0x3000000)
	p.wait()
	p.c.available(0x3000200, NoBound, false, p.now)
	if a := p.want(doSend); a.limit != 0x3000200 {
		t.Fatalf("limit %s", a.limit)
	}
}

func TestAdmit(t *testing.T) {
	h := lsn.History{Timeline: 5, Parents: []lsn.HistoryEntry{
		{Timeline: 1, Switch: 0x3000000}, {Timeline: 3, Switch: 0x5000060},
	}}
	for _, tc := range []struct {
		name  string
		tli   lsn.TimelineID
		start lsn.LSN
		want  Plan
		msg   string
		det   string
	}{
		{"current by omission", 0, 9, Plan{Timeline: 5, Start: 9}, "", ""},
		{"current, before its beginning", 5, 9, Plan{Timeline: 5, Start: 9}, "", ""},
		{"historic", 1, 0x2000000, Plan{1, 0x2000000, true, NextTimeline{3, 0x3000000}, 0}, "", ""},
		{"historic at its end", 3, 0x5000060, Plan{3, 0x5000060, true, NextTimeline{5, 0x5000060}, 0}, "", ""},
		{"unknown", 2, 9, Plan{}, "requested timeline 2 is not in this server's history", ""},
		{"newer", 6, 9, Plan{}, "requested timeline 6 is not in this server's history", ""},
		{"beyond the fork", 1, 0x3000001, Plan{},
			"requested starting point 0/3000001 on timeline 1 is not in this server's history",
			"This server's history forked from timeline 1 at 0/3000000."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Admit(h, tc.tli, tc.start)
			if p != tc.want {
				t.Errorf("plan %+v", p)
			}
			if tc.msg == "" {
				if err != nil {
					t.Fatal(err)
				}
				if end := tc.start == 0x5000060; p.Nothing() != end {
					t.Errorf("Nothing is %v", p.Nothing())
				}
				return
			}
			e := pgerror.From(err)
			if e.Message != tc.msg || e.Detail != tc.det || e.Code != pgerror.InternalError {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestCoreHeldBack: WAL beyond a fork that is known is not sent any more. A stream below the fork goes up to it, one
// beyond it waits. Both go on when the timeline is left there, or when it turns out that it is not.
func TestCoreHeldBack(t *testing.T) {
	const fork, received lsn.LSN = 0x3001000, 0x3002000
	hold := func(p *play, held bool) {
		t.Helper()
		end := lsn.LSN(received)
		if held {
			end = fork
		}
		if err := p.c.available(end, NoBound, held, p.now); err != nil {
			t.Fatal(err)
		}
	}
	for _, beyond := range []bool{false, true} {
		for _, left := range []bool{false, true} {
			p := newPlay(t, Plan{Timeline: 1, Start: 0x3000000}, testTimeout, received)
			if beyond {
				p.want(doSend)
			}
			hold(p, true)
			if !beyond {
				if a := p.want(doSend); a.limit != fork {
					t.Fatalf("sent up to %s, the fork is at %s", a.limit, fork)
				}
			}
			for range 5 { // longer than a start ahead of the horizon is waited for
				if d := p.wait(); d < time.Second {
					t.Fatalf("looks again after %s", d)
				}
				p.later(idleKeepalive)
				p.c.heard(p.now)
				p.want(doKeepalive)
			}
			if f, _ := p.reply(received, received, received, false); f != fork || p.c.had() != fork {
				t.Fatalf("a report beyond the fork counts up to %s, as a vote up to %s", f, p.c.had())
			}
			if left {
				p.c.left(NextTimeline{2, fork}, p.now)
				hold(p, false)
				p.want(doCopyDone)
				continue
			}
			hold(p, false)
			if !beyond {
				p.want(doSend)
			}
			p.wait()
		}
	}
	// A start beyond the fork is not refused: the primary may be the one that has it.
	p := newPlay(t, Plan{Timeline: 1, Start: received}, testTimeout, 0)
	hold(p, true)
	p.wait()
}
