package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walreceiver"
)

// TestStatusLost: a primary has lost WAL when this proxy has it, and refuses that primary now.
func TestStatusLost(t *testing.T) {
	for name, c := range map[string]struct {
		lack  *LackError
		state walreceiver.State
		lost  bool
	}{
		"nothing is lacking":    {nil, walreceiver.Connecting, false},
		"its own WAL":           {&LackError{Lost: true}, walreceiver.Connecting, true},
		"a promotion":           {&LackError{}, walreceiver.Connecting, false},
		"a member says so":      {&LackError{Lost: true, By: "b"}, walreceiver.Connecting, false},
		"another one is served": {&LackError{Lost: true}, walreceiver.Streaming, false},
	} {
		var s Status
		if c.lack != nil {
			s.Lacks = []*LackError{c.lack, {By: "b"}}
		}
		s.State = c.state
		if (s.Lost() != nil) != c.lost {
			t.Errorf("%s: %+v", name, s.Lost())
		}
	}
}
