package walreceiver

import (
	"testing"
	"time"
)

// Where another member can take over, a silent upstream is asked for a reply early, and again each time that it falls
// silent. The connection ends by wal_receiver_timeout as always.
func TestUneasyCore(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := core{timeout: time.Minute, uneasy: 2 * time.Second, interval: time.Hour, sent: now, heard: now}
	v := view{heard: now, messages: true}
	asks := func() (n int) {
		for range 10 {
			a, err := c.step(now, v)
			if err != nil {
				t.Fatal(err)
			}
			if a.Ask {
				n++
			}
			if a.Wake.IsZero() || a.Wake.Sub(now) > 3*time.Second {
				t.Fatalf("wakes at %v", a.Wake)
			}
			now = now.Add(500 * time.Millisecond)
		}
		return n
	}
	if n := asks(); n != 1 {
		t.Errorf("asked %d times in five seconds of silence", n)
	}
	v.heard = now
	if n := asks(); n != 1 {
		t.Errorf("asked %d times in the next five", n)
	}
	now = v.heard.Add(time.Minute)
	if a, err := c.step(now, v); err != nil || !a.Expired {
		t.Errorf("after a minute %+v, %v", a, err)
	}
}

// TestWhoAnswersIsNotSilent: an idle upstream that answers each request is asked again before it looks silent, however
// late timers fire.
func TestWhoAnswersIsNotSilent(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, time.Second} {
		now := time.Unix(1_700_000_000, 0)
		c := core{timeout: time.Minute, uneasy: 2 * time.Second, interval: time.Hour, sent: now, heard: now}
		v := view{heard: now, messages: true}
		for end := now.Add(time.Minute); now.Before(end); {
			a, err := c.step(now, v)
			if err != nil {
				t.Fatal(err)
			}
			if silent := now.Sub(v.heard); silent >= 4*time.Second {
				t.Fatalf("late by %s: not asked for %s", late, silent)
			}
			if a.Ask {
				v.heard = now.Add(time.Millisecond / 2) // the answer
			}
			now = a.Wake.Add(late)
		}
	}
}
