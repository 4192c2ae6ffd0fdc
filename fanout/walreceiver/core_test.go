package walreceiver

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

var t0 = time.Unix(1_000_000, 0)

// free limits nothing but apply, as without a quorum.
var free = unlimited()

func newCore() *core {
	return &core{interval: 10 * time.Second, senderTimeout: 60 * time.Second, timeout: 60 * time.Second, sent: t0, heard: t0}
}

func at(received, written, flushed lsn.LSN) view {
	return view{received: received, written: written, flushed: flushed, limits: free, heard: t0}
}

func step(t *testing.T, c *core, after time.Duration, v view) action {
	t.Helper()
	a, err := c.step(t0.Add(after), v)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReportsPromptlyWhatMoved(t *testing.T) {
	c := newCore()
	for i, s := range []struct {
		v    view
		send bool
		want lsn.Progress
	}{
		{at(0, 500, 500), false, lsn.Progress{}}, // stored earlier, but not received here
		{at(100, 500, 500), true, lsn.Progress{Write: 100, Flush: 100, Apply: 0}},
		{at(100, 500, 500), false, lsn.Progress{Write: 100, Flush: 100, Apply: 0}},
		{at(600, 500, 500), true, lsn.Progress{Write: 500, Flush: 500, Apply: 0}},
		{at(600, 600, 500), true, lsn.Progress{Write: 600, Flush: 500, Apply: 0}},
		{at(600, 600, 600), true, lsn.Progress{Write: 600, Flush: 600, Apply: 0}},
		{at(900, 600, 600), false, lsn.Progress{Write: 600, Flush: 600, Apply: 0}},
	} {
		a := step(t, c, time.Duration(i)*time.Millisecond, s.v)
		if a.Send != s.send || a.Report != s.want {
			t.Errorf("step %d: %+v", i, a)
		}
	}
}

func TestFlushIsHeldBackBelowTheSlot(t *testing.T) {
	c := newCore()
	c.floor = 300
	if a := step(t, c, 0, at(200, 400, 400)); a.Report != (lsn.Progress{Write: 200}) {
		t.Errorf("below restart_lsn: %+v", a)
	}
	if a := step(t, c, 0, at(300, 400, 400)); a.Report != (lsn.Progress{Write: 300, Flush: 300, Apply: 0}) {
		t.Errorf("at restart_lsn: %+v", a)
	}
}

func TestQuorumLimits(t *testing.T) {
	c := newCore()
	v := at(1000, 900, 800)
	v.limits, v.ruled = lsn.Progress{Write: 700, Flush: 600, Apply: 5000}, true
	if a := step(t, c, 0, v); a.Report != (lsn.Progress{Write: 700, Flush: 600, Apply: 800}) {
		t.Errorf("%+v", a)
	}
	v.limits = lsn.Progress{Write: 650, Flush: 850, Apply: 0} // a new rule covers less: what was said stays said
	if a := step(t, c, 0, v); a.Report != (lsn.Progress{Write: 700, Flush: 800, Apply: 800}) {
		t.Errorf("%+v", a)
	}
}

func TestInvariantsAreAsserted(t *testing.T) {
	for name, break_ := range map[string]func(c *core, v *view){
		"flushed went back":  func(c *core, v *view) { v.flushed = 50 },
		"written went back":  func(c *core, v *view) { v.written, v.flushed = 50, 50 },
		"received went back": func(c *core, v *view) { v.received = 50 },
	} {
		c := newCore()
		step(t, c, 0, at(100, 100, 100))
		v := at(100, 100, 100)
		break_(c, &v)
		a, err := c.step(t0, v)
		if !errors.Is(err, ErrInvariant) || a.Send {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestStatusInterval(t *testing.T) {
	c := newCore()
	v := at(0, 0, 0)
	if a := step(t, c, 9*time.Second, v); a.Send || !a.Wake.Equal(t0.Add(10*time.Second)) {
		t.Errorf("%+v", a)
	}
	if a := step(t, c, 10*time.Second, v); !a.Send || !a.Wake.Equal(t0.Add(20*time.Second)) {
		t.Errorf("%+v", a)
	}
	c = newCore()
	c.senderTimeout = 8 * time.Second // its quarter comes first
	if a := step(t, c, 2*time.Second, v); !a.Send {
		t.Errorf("%+v", a)
	}
	c = newCore()
	c.interval = -1
	if a := step(t, c, 29*time.Second, v); a.Send || !a.Wake.Equal(t0.Add(30*time.Second)) {
		t.Errorf("no interval, no status: %+v", a)
	}
	v.paused = true // but R19 holds
	if a := step(t, c, 29*time.Second, v); !a.Send {
		t.Errorf("%+v", a)
	}
}

func TestPingsWithUnchangedAnswers(t *testing.T) {
	c := newCore()
	v := at(100, 100, 100)
	step(t, c, 0, v)
	sent := 0
	for ms := 1; ms <= 2000; ms++ { // a shutting-down primary that wants to hear 200
		v.pings, v.pingEnd = v.pings+1, 200
		v.heard = t0.Add(time.Duration(ms) * time.Millisecond)
		a := step(t, c, time.Duration(ms)*time.Millisecond, v)
		if a.Send {
			sent++
		}
		if max := t0.Add(time.Duration(ms)*time.Millisecond + unchangedGap); !a.Send && a.Wake.After(max) {
			t.Fatalf("a ping is left unanswered until %s", a.Wake)
		}
	}
	if want := int(2 * time.Second / unchangedGap); sent != want {
		t.Errorf("%d answers in two seconds, expected %d", sent, want)
	}
	v.received, v.written, v.flushed = 200, 200, 200
	if a := step(t, c, 2001*time.Millisecond, v); !a.Send || a.Report.Flush != 200 {
		t.Errorf("what moved is said at once: %+v", a)
	}
	v.pings++
	if a := step(t, c, 2002*time.Millisecond, v); !a.Send {
		t.Errorf("what the walsender waits for is said at once: %+v", a)
	}
	if a := step(t, c, 2003*time.Millisecond, v); a.Send {
		t.Errorf("but once per ping: %+v", a)
	}
}

func TestPingAnsweredByWriteWithoutFlush(t *testing.T) {
	c := newCore()
	v := at(200, 200, 0)
	step(t, c, 0, v)
	v.pings, v.pingEnd = 1, 200
	if a := step(t, c, time.Millisecond, v); !a.Send {
		t.Errorf("%+v", a)
	}
}

func TestSilence(t *testing.T) {
	c := newCore()
	c.interval = -1
	v := at(0, 0, 0)
	if a := step(t, c, 30*time.Second, v); !a.Send || !a.Ask || !a.Wake.Equal(t0.Add(60*time.Second)) {
		t.Errorf("half the timeout: ask once: %+v", a)
	}
	if a := step(t, c, 45*time.Second, v); a.Send {
		t.Errorf("asked already: %+v", a)
	}
	if a := step(t, c, 60*time.Second, v); !a.Expired {
		t.Errorf("%+v", a)
	}
	v.heard = t0.Add(50 * time.Second)
	if a := step(t, c, 60*time.Second, v); a.Expired {
		t.Errorf("heard in between: %+v", a)
	}
	if a := step(t, c, 80*time.Second, v); !a.Ask {
		t.Errorf("asks again after a new silence: %+v", a)
	}
	c = newCore()
	c.timeout = -1
	if a := step(t, c, time.Hour, v); a.Expired || a.Ask {
		t.Errorf("no timeout: %+v", a)
	}
}

func TestPauseIsNotSilence(t *testing.T) {
	c := newCore()
	v := at(0, 0, 0)
	v.paused = true
	for s := 0; s < 300; s += 10 {
		if a := step(t, c, time.Duration(s)*time.Second, v); a.Expired || a.Ask {
			t.Fatalf("at %d s: %+v", s, a)
		}
	}
	v.paused = false
	if a := step(t, c, 310*time.Second, v); a.Expired || a.Ask {
		t.Errorf("the pause is over, the silence is young: %+v", a)
	}
	if a := step(t, c, 355*time.Second, v); !a.Expired {
		t.Errorf("%+v", a)
	}
}

func TestCarryToTheNextTimeline(t *testing.T) {
	c := newCore()
	c.floor = 900
	step(t, c, 0, at(500, 500, 500))
	c.floor = 400
	step(t, c, 0, at(500, 500, 500))
	c.carry(450)
	if a := step(t, c, 0, at(450, 450, 450)); a.Report != (lsn.Progress{Write: 450, Flush: 450, Apply: 0}) {
		t.Errorf("%+v", a)
	}
	if a := step(t, c, 0, at(460, 460, 455)); a.Report != (lsn.Progress{Write: 460, Flush: 455, Apply: 0}) {
		t.Errorf("%+v", a)
	}
}

// TestCoreRandomWalk: whatever the store does, no report says too much, none goes back, and a ping is
// answered within a quarter of the sender's timeout.
func TestCoreRandomWalk(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := newCore()
		c.floor = lsn.LSN(rnd.IntN(3000))
		v := at(0, 1000, 1000)
		var last lsn.Progress
		now, pingAt := t0, time.Time{}
		for range 500 {
			now = now.Add(time.Duration(rnd.IntN(300)) * time.Millisecond)
			v.heard = now
			switch rnd.IntN(5) {
			case 0:
				v.received += lsn.LSN(rnd.IntN(100))
			case 1:
				v.written = min(max(v.received, 1000), v.written+lsn.LSN(rnd.IntN(100)))
			case 2:
				v.flushed = min(v.written, v.flushed+lsn.LSN(rnd.IntN(200)))
			case 3:
				v.limits.Flush = lsn.LSN(rnd.IntN(10000))
			case 4:
				v.pings, v.pingEnd = v.pings+1, lsn.LSN(rnd.IntN(5000))
				if pingAt.IsZero() {
					pingAt = now
				}
			}
			a, err := c.step(now, v)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if a.Wake.Before(now) && !a.Wake.IsZero() {
				t.Fatalf("seed %d: to be woken in the past, which spins", seed)
			}
			if !a.Send {
				continue
			}
			r := a.Report
			if r.Write > min(v.written, v.received) || r.Flush > min(v.flushed, v.received) || r.Apply > v.received ||
				r.Write < last.Write || r.Flush < last.Flush || r.Flush > 0 && last.Flush == 0 && r.Flush < c.floor {
				t.Fatalf("seed %d: %+v after %+v with %+v", seed, r, last, v)
			}
			if !pingAt.IsZero() && now.Sub(pingAt) > c.senderTimeout/4 {
				t.Fatalf("seed %d: ping answered after %s", seed, now.Sub(pingAt))
			}
			last, pingAt = r, time.Time{}
		}
	}
}

func TestFeedbackCore(t *testing.T) {
	type fb = copyboth.HotStandbyFeedback
	c := feedbackCore{interval: 10 * time.Second}
	check := func(after time.Duration, merged fb, send bool) {
		t.Helper()
		out, got, _ := c.step(t0.Add(after), merged, true, 0)
		if got != send || got && out != merged {
			t.Errorf("after %s: %v %+v", after, got, out)
		}
	}
	sec := time.Second
	check(0, fb{}, true) // clears what an earlier session left at a slot
	check(20*sec, fb{}, false)
	check(21*sec, fb{Xmin: 100}, true)  // protection appears: at once
	check(22*sec, fb{Xmin: 110}, false) // newer: later
	check(23*sec, fb{Xmin: 90}, true)   // older: at once
	check(24*sec, fb{Xmin: 90, CatalogXmin: 5}, true)
	check(33*sec, fb{Xmin: 90, CatalogXmin: 5}, false)
	check(34*sec, fb{Xmin: 90, CatalogXmin: 5}, true) // repeated at the interval
	check(35*sec, fb{}, false)
	check(44*sec, fb{}, true) // withdrawn
	check(99*sec, fb{}, false)

	c = feedbackCore{interval: sec, slotless: true}
	if out, _, _ := c.step(t0, fb{CatalogXmin: 7}, true, 0); out.Xmin != 7 || out.CatalogXmin != 7 {
		t.Errorf("without a slot the horizon is one: %+v", out)
	}
	if out, send, _ := c.step(t0.Add(sec), fb{Xmin: 9, CatalogXmin: 7}, true, 7); !send || out != (fb{Xmin: 9}) {
		t.Errorf("this proxy's slot bears catalog_xmin: %+v", out)
	}
	if out, send, _ := c.step(t0.Add(sec), fb{Xmin: 9, CatalogXmin: 6}, true, 7); !send || out.Xmin != 6 {
		t.Errorf("this proxy's slot does not bear that much: %+v", out)
	}

	c = feedbackCore{interval: sec, borne: fb{Xmin: 50}}
	early := func(after time.Duration, merged, want fb, sent bool) {
		t.Helper()
		if out, send, _ := c.step(t0.Add(after), merged, false, 0); send != sent || send && out != want {
			t.Errorf("not settled, after %s: %v %+v", after, send, out)
		}
	}
	early(0, fb{Xmin: 90, CatalogXmin: 80}, fb{Xmin: 50, CatalogXmin: 80}, true) // the slot is not raised
	early(sec/2, fb{Xmin: 40, CatalogXmin: 80}, fb{Xmin: 40, CatalogXmin: 80}, true)
	c.borne = fb{}
	early(2*sec, fb{}, fb{}, false) // nobody has said yet that nothing is needed
}

// An idle upstream says nothing to one that resumes at a segment's start: it is asked, once.
func TestFirstMessageIsAskedFor(t *testing.T) {
	idle := view{received: 100, written: 100, flushed: 100, limits: free, heard: t0}
	with := func(f func(*view)) view { v := idle; f(&v); return v }
	for _, tc := range []struct {
		name string
		v    view
		ask  bool
	}{
		{"idle", idle, true},
		{"WAL or a keepalive has come", with(func(v *view) { v.messages = true }), false},
		{"the store makes the reader wait", with(func(v *view) { v.paused = true }), false},
	} {
		c := newCore()
		c.greet = t0.Add(greetAfter)
		if a := step(t, c, 0, idle); a.Ask || a.Wake != c.greet {
			t.Errorf("%s: at the begin %+v, want to be woken at %v", tc.name, a, c.greet)
		}
		if a := step(t, c, greetAfter, tc.v); a.Ask != tc.ask || a.Send != tc.ask {
			t.Errorf("%s: %+v", tc.name, a)
		}
		if a := step(t, c, 2*greetAfter, idle); a.Ask {
			t.Errorf("%s: asked again: %+v", tc.name, a)
		}
	}
}
