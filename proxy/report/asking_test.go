package report

import (
	"testing"
	"time"
)

// TestAsking: the primary is asked when something has changed that advice depends on, and once in a while.
func TestAsking(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	usual := func(change func(*Around)) Around {
		x := Around{Streaming: true, Since: t0, Generation: 1, Standbys: []string{"s1"}, Slots: []string{"a"}}
		change(&x)
		return x
	}
	for name, c := range map[string]struct {
		after  time.Duration
		change func(*Around)
		due    bool
	}{
		"nothing has changed":       {time.Second, func(*Around) {}, false},
		"it is long ago":            {AskInterval, func(*Around) {}, true},
		"a new stream":              {time.Second, func(x *Around) { x.Since = t0.Add(1) }, true},
		"a new configuration":       {time.Second, func(x *Around) { x.Generation = 2 }, true},
		"another standby":           {time.Second, func(x *Around) { x.Standbys = []string{"s1", "s2"} }, true},
		"a standby has left":        {time.Second, func(x *Around) { x.Standbys = nil }, true},
		"another slot":              {time.Second, func(x *Around) { x.Slots = []string{"b"} }, true},
		"no WAL comes":              {time.Hour, func(x *Around) { x.Streaming = false }, false},
		"no WAL comes, and changes": {time.Second, func(x *Around) { x.Streaming, x.Standbys = false, nil }, false},
	} {
		var a Asking
		if !a.Due(t0, usual(func(*Around) {})) {
			t.Error("nobody has asked yet")
		}
		a.Answered(t0, usual(func(*Around) {}))
		if got := a.Due(t0.Add(c.after), usual(c.change)); got != c.due {
			t.Errorf("%s: due %t", name, got)
		}
	}
	var unanswered Asking
	unanswered.Due(t0, usual(func(*Around) {}))
	if !unanswered.Due(t0.Add(time.Second), usual(func(*Around) {})) {
		t.Error("who has not answered is asked again")
	}
}
