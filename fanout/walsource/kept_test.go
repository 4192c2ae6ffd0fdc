package walsource

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestGivenUpIsKept: WAL is given up that the store has until its next start. A server that has it is followed before that:
// then it is kept. Who only passes WAL on may follow the primary that lost it, and shows it by leaving that timeline only.
func TestGivenUpIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		srv      server
		member   string
		timeline lsn.TimelineID
		kept     bool
	}{
		"the right primary is back":   {server{timeline: 1}, "", 1, true},
		"another one is promoted":     {server{timeline: 2}, "", 2, true},
		"it has yet to leave it":      {server{timeline: 2}, "", 1, false},
		"a standby":                   {server{timeline: 1, settings: map[string]string{inHotStandby: "on"}}, "", 1, false},
		"a proxy":                     {server{timeline: 1, virtual: true}, "", 1, false},
		"a member":                    {server{timeline: 1, virtual: true}, "b", 1, false},
		"a member, of a promoted one": {server{timeline: 2, virtual: true}, "b", 2, true},
	} {
		word, kept, full := &wordOf{}, 0, errors.New("the disk is full")
		r, host, lost, p := setBack(t, word)
		r.o.Keep = func() error { kept++; return full }
		r.proven(host, c.srv, startPoint{c.timeline, p.at})
		if kept > 0 {
			t.Errorf("%s: nothing is given up, and something is kept", name)
		}
		e := &LackError{System: 7, Timeline: 1, From: p.at + 0x30, To: p.at + 0x900, Of: 1, Lost: true}
		if err := r.setAside(e, lost); err == nil || word.aside == nil || *word.aside != (Aside{End: p.at + 0x900, Has: e.From}) {
			t.Fatalf("%s: %v, %+v", name, err, word.aside)
		}
		r.member = c.member
		r.proven(host, c.srv, startPoint{c.timeline, p.at})
		if (kept == 1) != c.kept || r.aside.Load() == 0 {
			t.Errorf("%s: kept %d times, and not on the disk: aside is %d", name, kept, r.aside.Load())
		}
		full = nil
		for range 2 {
			r.proven(host, c.srv, startPoint{c.timeline, p.at})
		}
		if (kept == 2) != c.kept || (r.aside.Load() == 0) != c.kept {
			t.Errorf("%s: kept %d times, aside is %d", name, kept, r.aside.Load())
		}
	}
}
