package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// A position where no record is known to end refuses a fork below it. It allows only a rest that no record fits into,
// because what looks like the beginning of a long record may hold short ones. On the server's own timeline it proves
// nothing.
func TestLackOfWhatIsNotRounded(t *testing.T) {
	const fork = lsn.LSN(0x5000)
	promoted := server{system: 7, timeline: 2, xlogpos: fork + 500, history: lsn.History{
		Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: fork}},
	}}
	for name, c := range map[string]struct {
		on    lsn.TimelineID
		at    lsn.LSN
		acked bool
		ends  bool
		lacks bool
	}{
		"below":                            {1, fork - 1, true, false, false},
		"at the fork":                      {1, fork, true, true, false},
		"no record fits":                   {1, fork + minRecord - 1, true, false, false},
		"the shortest record":              {1, fork + minRecord, true, false, true},
		"far beyond":                       {1, fork + 1<<24, true, false, true},
		"a record's end":                   {1, fork + 8, true, true, true},
		"that nobody acknowledged":         {1, fork + 1<<24, false, true, false},
		"of a timeline that it never had":  {3, fork, true, false, true},
		"of the same timeline":             {2, fork + 501, true, true, true},
		"of that, inside a record perhaps": {2, fork + 600, true, false, false},
	} {
		k := knowledge{all: []knownwal.Known{{Point: lsn.Point{System: 7, Timeline: c.on, LSN: c.at}, By: "b", Acked: c.acked, Complete: c.ends}}}
		if e := k.lack(promoted); (e != nil) != c.lacks {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// TestOwedIsNotLeftBehind: a fork below WAL that was being flushed at a crash is not followed by itself. A primary that
// crashed with this proxy may end below it, and is.
func TestOwedIsNotLeftBehind(t *testing.T) {
	const end, owed = lsn.LSN(0x1005000), lsn.LSN(0x1006000)
	m := newMemStore()
	m.id = walstore.Identity{System: 7}
	m.pos = walstore.Positions{Timeline: 1, Oldest: 0x1000000, Received: end, Written: end, Flushed: end, Complete: end}
	primary := server{system: 7, timeline: 1, xlogpos: end, history: lsn.History{Timeline: 1}}
	promoted := server{system: 7, timeline: 2, xlogpos: owed + 500, history: lsn.History{
		Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: end + 200}},
	}}
	r := with(t, Options{Store: m})
	if e := r.knowledge().lack(promoted); e != nil {
		t.Errorf("nothing is owed: %v", e)
	}
	m.owes = walstore.Repair{From: end, To: owed}
	if e := r.knowledge().lack(promoted); e == nil || e.To != owed {
		t.Errorf("left behind: %+v", e)
	}
	if e := r.knowledge().lack(primary); e != nil {
		t.Errorf("the primary itself: %v", e)
	}
	m.pos.Received, m.pos.Written, m.pos.Flushed, m.pos.Complete = owed, owed, owed, end
	if e := r.knowledge().lack(promoted); e != nil {
		t.Errorf("paid: %v", e)
	}
}
