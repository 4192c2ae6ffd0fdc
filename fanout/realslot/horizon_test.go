package realslot

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

func hz(xmin, catalog uint64) Horizon {
	return Horizon{copyboth.FullXID(xmin), copyboth.FullXID(catalog)}
}

// TestBearing: what this proxy's slot is told, and when.
func TestBearing(t *testing.T) {
	long, short := time.Hour, 2*tellDelay
	for _, c := range []struct {
		name       string
		have, want Horizon
		raised     time.Duration // ago
		told       time.Duration // ago
		early      bool
		last       bool
		say        []Horizon
	}{
		{"nothing to say", hz(7, 5), hz(7, 5), long, long, false, false, nil},
		{"it appears", hz(0, 0), hz(7, 5), short, short, true, false, []Horizon{hz(7, 5)}},
		{"catalog_xmin appears", hz(7, 0), hz(7, 5), short, short, true, false, []Horizon{hz(7, 5)}},
		{"it falls: none is said first", hz(9, 5), hz(7, 5), short, short, true, false, []Horizon{hz(0, 5), hz(7, 5)}},
		{"both fall", hz(9, 8), hz(7, 5), short, short, false, false, []Horizon{hz(0, 0), hz(7, 5)}},
		{"one falls, one would rise later", hz(9, 5), hz(7, 6), short, short, false, false, []Horizon{hz(0, 5), hz(7, 5)}},
		{"one falls, one rises", hz(9, 5), hz(7, 6), long, long, false, false, []Horizon{hz(0, 5), hz(7, 6)}},
		{"it rises too early", hz(7, 5), hz(9, 5), short, short, false, false, nil},
		{"it rises after a minute", hz(7, 5), hz(9, 5), raiseInterval, short, false, false, []Horizon{hz(9, 5)}},
		{"it goes after a minute", hz(7, 5), hz(0, 0), raiseInterval, short, false, false, []Horizon{hz(0, 0)}},
		{"it does not rise before it is settled", hz(7, 5), hz(9, 5), long, long, true, false, nil},
		{"nor go", hz(7, 5), hz(0, 0), long, long, true, true, nil},
		{"it rises before the end", hz(7, 5), hz(9, 5), short, short, false, true, []Horizon{hz(9, 5)}},
		{"not without a pause", hz(9, 5), hz(7, 5), long, tellDelay / 2, false, false, nil},
		{"over the epoch", hz(1<<32|3, 0), hz(0xfffffff0, 0), long, long, false, false, []Horizon{hz(0, 0), hz(0xfffffff0, 0)}},
	} {
		now := time.Now()
		b := bearing{raised: now.Add(-c.raised), told: now.Add(-c.told)}
		say := b.step(now, need{c.have, c.want, !c.early, c.last})
		if !slices.Equal(say, c.say) {
			t.Errorf("%s: %v, expected %v", c.name, say, c.say)
		}
	}
}

// TestBearingNotes: only what rises counts for the minute.
func TestBearingNotes(t *testing.T) {
	now := time.Now()
	var b bearing
	b.said(now, hz(7, 5), hz(6, 5))
	if !b.raised.IsZero() || b.told != now {
		t.Errorf("%+v", b)
	}
	if b.said(now, hz(6, 5), hz(6, 0)); b.raised != now {
		t.Errorf("%+v", b)
	}
}

// TestElsewhere: who does not stream from the primary begins to bear nothing, and lets go once another slot bears it.
func TestElsewhere(t *testing.T) {
	member := "b"
	o := NewProxySlot(ProxySlotOptions{
		Horizon: func() (Horizon, bool) { return hz(7, 5), true }, FeedbackSent: func() bool { return true },
		Streams: func() (string, bool) { return member, true },
	})
	for _, c := range []struct {
		name   string
		have   Horizon
		others []Horizon
		want   Horizon
	}{
		{"nothing is borne here", hz(0, 0), nil, hz(0, 0)},
		{"nobody else bears it", hz(6, 4), []Horizon{hz(8, 5), hz(7, 0), hz(0, 0)}, hz(7, 5)},
		{"one column is borne here", hz(0, 4), nil, hz(0, 5)},
		{"another slot bears it", hz(6, 4), []Horizon{hz(0, 0), hz(7, 4)}, hz(0, 0)},
	} {
		if n := o.need(shownSlot{horizon: c.have, others: c.others}, false); n.want != c.want || !n.settled {
			t.Errorf("%s: %+v", c.name, n)
		}
	}
	member = ""
	if n := o.need(shownSlot{others: []Horizon{hz(1, 1)}}, false); n.want != hz(7, 5) {
		t.Errorf("it streams from the primary: %+v", n)
	}
}
