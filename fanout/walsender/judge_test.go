package walsender

import (
	"errors"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestJudge: a standby that is to say first what it has gets no WAL before, is asked, and is refused or served by what
// it says. Its slot and the rule hear nothing of one that is refused.
func TestJudge(t *testing.T) {
	for _, refused := range []bool{false, true} {
		store := newFakeStore(t, base, 1<<20)
		store.receive(base + 100)
		var said lsn.Progress
		no := pgerror.New(pgerror.ObjectNotInPrerequisite, "no")
		r := &recorder{}
		c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, slot: r, votes: r,
			judge: func(p lsn.Progress) error {
				if said = p; refused {
					return no
				}
				return nil
			}})
		c.expect(copyBoth, "k 0/3000000 true")
		store.receive(base + 200)
		c.write('d', copyboth.HotStandbyFeedback{Xmin: 735}.Append(nil)) // says nothing of WAL
		c.reply(base+50, base+40, base+30, false)
		if refused {
			if err := c.ended(); !errors.Is(err, no) || len(r.acks) > 0 || len(r.flush) > 0 {
				t.Errorf("%v, %d acks", err, len(r.acks))
			}
		} else {
			c.expect("w 0/3000000 +200 end 0/30000C8")
			c.sender.End(no) // later
			if err := c.ended(); !errors.Is(err, no) {
				t.Error(err)
			}
		}
		if (said != lsn.Progress{Write: base + 50, Flush: base + 40, Apply: base + 30}) {
			t.Errorf("judged by %+v", said)
		}
	}
}

// TestJudgedStreamEnds: one that never says what it has is not waited for longer than others, gets no WAL when the proxy
// drains, and nobody spins.
func TestJudgedStreamEnds(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: base}, testTimeout, base+100)
	p.c.unjudged = true
	if a := p.want(doKeepalive); !a.ping {
		t.Error("it is not asked")
	}
	for range 3 {
		p.later(p.wait())
		if a := p.c.next(p.now); a.kind == doKeepalive {
			p.c.wrote(p.now)
		} else if a.kind == doFinish {
			break
		}
	}
	p.c.drain(p.now)
	if a := p.want(doFinish); !a.drained {
		t.Errorf("%+v", a)
	}
	ahead := newPlay(t, Plan{Timeline: 1, Start: base + 100}, 0, base)
	ahead.c.unjudged = true
	ahead.want(doKeepalive)
	for range 10 {
		if a := ahead.c.next(ahead.now); a.kind == doFinish {
			return
		} else if a.kind == doKeepalive {
			ahead.c.wrote(ahead.now)
		} else if d := a.until.Sub(ahead.now); d <= 0 {
			t.Fatal("it spins")
		} else {
			ahead.later(d)
		}
	}
	t.Error("a start ahead of the horizon is waited for without end")
}
