package fanout

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestVotersAreSentAway: voters are sent to a member once this store has stood still for a while and that one has more. They
// stay where nobody has more, and come back when the store takes WAL.
func TestVotersAreSentAway(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := []string{"b"}
	for name, c := range map[string]struct {
		looks []Plight // a second apart
		want  []string
	}{
		"not at once":           {slices.Repeat([]Plight{{true, 9, b}}, 10), nil},
		"it stands still":       {slices.Repeat([]Plight{{true, 9, b}}, 11), b},
		"nobody has more":       {slices.Repeat([]Plight{{true, 9, nil}}, 30), nil},
		"nobody has more since": {append(slices.Repeat([]Plight{{true, 9, b}}, 30), Plight{true, 9, nil}), nil},
		"it has taken WAL":      {append(slices.Repeat([]Plight{{true, 9, b}}, 30), Plight{true, 10, b}), nil},
		"it takes WAL":          {append(slices.Repeat([]Plight{{true, 9, b}}, 30), Plight{false, 9, b}), nil},
		"a while ago it did":    {append(slices.Repeat([]Plight{{true, 8, b}}, 30), slices.Repeat([]Plight{{true, 9, b}}, 11)...), b},
	} {
		var y yielding
		var got []string
		for i, p := range c.looks {
			got = y.step(t0.Add(time.Duration(i)*time.Second), p)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: sent to %q", name, got)
		}
	}
}

// votes counts as a rule says.
type votes struct {
	Voter
	counts bool
}

func (v votes) Counts() bool { return v.counts }

// TestVotersAreRefused: while voters are sent away their log-ins are refused with the SQLSTATE by which libpq takes the
// next host. Others come in.
func TestVotersAreRefused(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Voter = func(name string) Voter { return votes{counts: name == "s1"} } })
	now, p := time.Now(), Plight{Stands: true, Received: lsn.LSN(9), Ahead: []string{"b"}}
	w.hub.Yield(now, p)
	if w.hub.Yields("s1") != nil || w.hub.Yielding() != nil {
		t.Error("it is refused at once")
	}
	w.hub.Yield(now.Add(yieldAfter), p)
	if err := w.hub.Yields("s1"); !pgerror.HasCode(err, pgerror.CannotConnectNow) || w.hub.Yields("report") != nil {
		t.Errorf("s1: %v, report: %v", err, w.hub.Yields("report"))
	}
	w.hub.Yield(now.Add(yieldAfter), Plight{})
	if w.hub.Yields("s1") != nil {
		t.Error("the disk takes WAL, and s1 is refused")
	}
}
