package loss

import (
	"fmt"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	sys  = lsn.SystemID(7)
	from = lsn.LSN(0x3000060)
	to   = lsn.LSN(0x5000000)
)

func given(names ...string) Set {
	s, _ := Set(nil).GiveUp(Loss{ID: 1, System: sys, Timeline: 2, From: from, To: to}, names)
	return s
}

// kept: the disk has it.
func kept(Loss) bool { return true }

func at(x lsn.LSN) First { return First{Progress: lsn.Progress{Write: x, Flush: x, Apply: x}} }

// written makes the report of a client that keeps WAL and applies none.
func written(x lsn.LSN) First { return First{Progress: lsn.Progress{Write: x, Flush: x}} }

// TestJudge: who may have the lost WAL is refused until it shows that it has not, and is asked no more then.
func TestJudge(t *testing.T) {
	s1 := Who{"S1", "10.0.0.1", "slot"}
	for name, c := range map[string]struct {
		known   []string
		first   First
		refused bool
		suspect bool // after it
		again   bool // it is asked again
	}{
		"never had any":             {nil, at(from), false, false, false},
		"known, and made anew":      {[]string{"s1"}, at(to + 1), false, false, false},
		"known, and set back":       {[]string{"s1"}, at(from - 100), false, false, false},
		"the first lost byte":       {nil, at(from + 1), true, true, true},
		"the last lost byte":        {nil, at(to), true, true, true},
		"made anew too early":       {[]string{"s1"}, at(to - 100), true, true, true},
		"pg_basebackup":             {nil, written(to - 1), false, false, true},
		"pg_receivewal that votes":  {nil, First{written(to - 1).Progress, true}, false, true, true},
		"pg_receivewal, known":      {[]string{"s1"}, First{written(to + 1).Progress, true}, false, true, true},
		"it says nothing":           {[]string{"s1"}, First{}, false, true, true},
		"applies, does not flush":   {nil, First{Progress: lsn.Progress{Write: to, Apply: to}}, true, true, true},
		"the write alone is beyond": {nil, First{Progress: lsn.Progress{Write: to, Flush: from, Apply: from}}, true, true, true},
	} {
		l, refused := given(c.known...)[0].Judge(s1, c.first, nil)
		if refused != c.refused || (len(l.Suspects()) > 0) != c.suspect || l.Asks(s1) != c.again {
			t.Errorf("%s: refused is %t; %+v", name, refused, l)
		}
	}
}

// TestOneStandbyDoesNotSpeakForOthers: many standbys are called walreceiver. One that is made anew lets its name vote,
// where one was stale, and no other session pass.
func TestOneStandbyDoesNotSpeakForOthers(t *testing.T) {
	l := given()[0]
	stale, anew := Who{"walreceiver", "10.0.0.1", ""}, Who{"walreceiver", "10.0.0.2", ""}
	l, refused := l.Judge(stale, at(to), nil)
	if l2, no := l.Judge(anew, at(to+1), nil); !refused || no || len(l2.Suspects()) > 0 {
		t.Fatalf("%t %t %+v", refused, no, l2)
	} else if l3, no := l2.Judge(stale, at(to), nil); !no || len(l3.Suspects()) > 0 {
		t.Fatalf("%t %+v", no, l3)
	} else if l4, no := l3.Judge(anew, at(to-1), nil); no {
		t.Fatalf("it is asked again: %+v", l4)
	}
}

// TestBaseBackupPassesFirst: pg_basebackup streams by the name and the slot of the standby that it makes anew, and passes.
// The standby shows itself afterwards, and counts.
func TestBaseBackupPassesFirst(t *testing.T) {
	db1 := Who{"db1", "127.0.0.1", "db1"}
	l, refused := given("db1")[0].Judge(db1, written(to+100), nil)
	if refused || !slices.Equal(l.Suspects(), []string{"db1"}) {
		t.Fatalf("the base backup: %t %+v", refused, l)
	}
	if l, refused = l.Judge(db1, at(to+200), nil); refused || len(l.Suspects()) > 0 || l.Asks(db1) {
		t.Errorf("the standby: %t %+v", refused, l)
	}
}

// TestMadeAnewIsSaid: the operator's word holds for all sessions of a name, and for good.
func TestMadeAnewIsSaid(t *testing.T) {
	if _, known := Set(nil).MadeAnew("s1"); known {
		t.Error("nothing was given up")
	}
	s, known := given("s1", "s2").MadeAnew("S1")
	if l, no := s[0].Judge(Who{"s1", "h", ""}, at(to), nil); !known || no || !slices.Equal(l.Suspects(), []string{"s2"}) {
		t.Errorf("%t %+v", no, l)
	}
}

// TestMerge tells members of a loss, of names, and of standbys that were made anew, in any order and more than once.
// One loss stays one, also when each proxy accepts it itself.
func TestMerge(t *testing.T) {
	a := given("s1", "s2")
	b, news := Set(nil).Hear("a", a.Told(kept, 0))
	if !news || b[0].Own || !slices.Equal(b[0].Suspects(), []string{"s1", "s2"}) {
		t.Fatalf("%t %+v", news, b)
	}
	passed, _ := a[0].Judge(Who{"s1", "h", ""}, at(to+9), nil)
	b, _ = b.GiveUp(Loss{ID: 9, System: sys, Timeline: 2, From: from + 500, To: to + 500}, []string{"s1", "s3"})
	if len(b) != 1 || !b[0].Own || b[0].From != from || b[0].To != to+500 {
		t.Fatalf("%+v", b)
	}
	for range 2 {
		b, _ = b.Hear("a", Set{passed})
		a, _ = a.Hear("b", b.Told(kept, 0))
	}
	if !slices.Equal(a[0].Suspects(), []string{"s2", "s3"}) || !a[0].Own || !slices.Equal(a[0].Suspects(), b[0].Suspects()) {
		t.Errorf("%+v, %+v", a, b)
	}
	if _, news := b.Hear("a", a.Told(kept, 0)); news {
		t.Error("nothing is new")
	}
	// The next loss at the same positions is another one: it says nothing of who was made anew after the first.
	b = b.Streams(instead)
	b, _ = b.GiveUp(Loss{ID: 10, System: sys, Timeline: 2, From: from, To: to}, nil)
	if len(b) != 2 || !b[1].Asks(Who{"s1", "h", ""}) {
		t.Errorf("%+v", b)
	}
}

// TestBounds: lists and losses are bounded; what is forgotten makes nobody count.
func TestBounds(t *testing.T) {
	l := given("stale")[0]
	for i := range 2 * MaxNames {
		l, _ = l.Judge(Who{fmt.Sprint("n", i), "h", ""}, at(to+1), nil)
	}
	if len(l.Passed) != MaxNames || len(l.Anew) != MaxNames || !slices.Equal(l.Suspects(), []string{"stale"}) {
		t.Errorf("%d %d %v", len(l.Passed), len(l.Anew), l.Suspects())
	}
	if l, _ = l.Judge(Who{"stale", "h", ""}, at(to+1), nil); len(l.Suspects()) != 0 {
		t.Errorf("%v", l.Suspects())
	}
	var s Set
	for i := range MaxLosses {
		lo := Loss{ID: uint64(i + 1), System: sys, Timeline: 2, From: lsn.LSN(100 * i), To: lsn.LSN(100*i + 50)}
		s, _ = s.GiveUp(lo, []string{"s" + fmt.Sprint(i)})
		s[i].Anew, s[i].Passed = []string{"both", fmt.Sprint("n", i)}, []string{fmt.Sprint("p", i)}
	}
	all := s.Told(kept, 0)
	s, _ = s.GiveUp(Loss{ID: 99, System: sys, Timeline: 3, From: 1000, To: 1050}, nil)
	if o := s[0]; len(s) != MaxLosses || o.ID != 2 || o.From != 0 || o.To != 150 || len(o.Suspects()) != 2 ||
		!slices.Equal(o.Anew, []string{"both"}) || len(o.Passed) != 0 || !slices.Equal(o.Also, []uint64{1}) {
		t.Errorf("%+v", s)
	}
	s, _ = s.Hear("a", all)
	if again, news := s.Hear("a", all); news || len(again) != MaxLosses || len(again[0].Passed) != 0 {
		t.Errorf("a member that has them apart says something new: %+v", again)
	}
	s, _ = s.GiveUp(Loss{ID: 5, System: sys + 1, Timeline: 1, From: 1, To: 2}, nil)
	if len(s) != MaxLosses || s[0].ID != 3 || s[MaxLosses-1].System != sys+1 {
		t.Errorf("of another system: %+v", s)
	}
}

// TestIn: a timeline that left before the lost WAL has nothing to do with it.
func TestIn(t *testing.T) {
	l := given()[0]
	history := func(own lsn.TimelineID, fork lsn.LSN) lsn.History {
		return lsn.History{Timeline: own, Parents: []lsn.HistoryEntry{{Timeline: 2, Switch: fork}}}
	}
	for name, c := range map[string]struct {
		h  lsn.History
		in bool
	}{
		"the same":        {lsn.History{Timeline: 2}, true},
		"beyond it":       {history(3, to+1), true},
		"within":          {history(3, from+1), true},
		"before":          {history(3, from), false},
		"another one":     {lsn.History{Timeline: 3}, false},
		"an earlier one":  {lsn.History{Timeline: 1}, false},
		"an empty store":  {lsn.History{}, false},
		"a later sibling": {lsn.History{Timeline: 4, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 5}}}, false},
	} {
		if l.In(c.h) != c.in {
			t.Errorf("%s: %t", name, !c.in)
		}
	}
}

// TestLossBeginsAtTheLowestTold: two proxies may have found different beginnings. Who has shown that it has nothing
// beyond the higher one may have some beyond the lower one. Of a beginning that is not known the other one holds.
func TestLossBeginsAtTheLowestTold(t *testing.T) {
	who := Who{Name: "s1"}
	passed, _ := Loss{ID: 1, System: 7, Timeline: 1, From: 50, To: 90}.Judge(who, First{Progress: lsn.Progress{
		Write: 45, Flush: 45, Apply: 45}}, nil)
	for from, c := range map[lsn.LSN]struct {
		from lsn.LSN
		asks bool
	}{40: {40, true}, 60: {50, false}, lsn.Invalid: {50, false}} {
		o := Loss{ID: 1, System: 7, Timeline: 1, From: from, To: 90}
		a, _ := Set{passed}.Hear("a", Set{o})
		b, _ := Set{o}.Hear("a", Set{passed})
		if a[0].From != c.from || b[0].From != c.from || a[0].Asks(who) != c.asks || b[0].Asks(who) != c.asks {
			t.Errorf("from %s: %+v and %+v", from, a[0], b[0])
		}
	}
}

// TestPartBeginsTheWhole: of losses that are one here a member tells one, which begins earlier, or nobody knows where.
// Then all of them begin there, and who had shown something of that one is asked again.
func TestPartBeginsTheWhole(t *testing.T) {
	who := Who{Name: "s1"}
	for _, from := range []lsn.LSN{40, lsn.Invalid} {
		whole := Loss{ID: 2, Also: []uint64{1}, System: 7, Timeline: 1, From: 50, To: 90}
		part, _ := Loss{ID: 1, System: 7, Timeline: 1, From: from, To: 60}.Judge(who, First{}, nil)
		s, news := Set{whole}.Hear("a", Set{part})
		if !news || len(s) != 1 || s[0].From != from || s[0].To != 90 || !s[0].Asks(who) {
			t.Errorf("from %s: %+v", from, s)
		}
	}
}

// TestRenewedGetsNoLostWAL: a standby amid the loss is served by a proxy that still has the lost WAL, as it may have some
// of it. One that is known to have what was written instead is not, nor is one that the operator has named.
func TestRenewedGetsNoLostWAL(t *testing.T) {
	amid, who := at(from+100), Who{"s1", "10.0.0.1", ""}
	behind := Store{
		Concerns: func(Loss) bool { return true }, Brings: func(Loss) bool { return false }, Received: to,
	}
	heard := func(tell func(Set) Set) Set {
		told := tell(given())
		s, _ := Set(nil).Hear("b", told.Told(kept, 0))
		return s
	}
	for name, c := range map[string]struct {
		set     Set
		refused bool
	}{
		"nothing is known":          {heard(func(s Set) Set { return s }), false},
		"the operator has named it": {heard(func(s Set) Set { s, _ = s.MadeAnew("s1"); return s }), true},
		"it was served elsewhere":   {heard(func(s Set) Set { s[0] = s[0].Left(who, from+50); return s }), true},
		"it has passed for good":    {heard(func(s Set) Set { s[0], _ = s[0].Judge(who, at(from), nil); return s }), true},
		"another one has":           {heard(func(s Set) Set { s[0], _ = s[0].Judge(Who{"s2", "", ""}, at(from), nil); return s }), false},
	} {
		if j := c.set.Judge(who, amid, behind, nil); (j.Refused != nil) != c.refused || c.refused && !j.Here {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

// TestServedLostWAL: a session that is served while the store has lost WAL may have got that. What it has reported when it
// ends says nothing, though the store has what was written instead by then.
func TestServedLostWAL(t *testing.T) {
	who := Who{"s1", "10.0.0.1", ""}
	store := func(brings bool) Store {
		return Store{
			Concerns: func(Loss) bool { return true }, Brings: func(Loss) bool { return brings }, Received: to,
		}
	}
	heard, _ := Set(nil).Hear("b", given().Told(kept, 0))
	for name, c := range map[string]struct {
		brings  bool
		first   First
		instead bool
	}{
		"lost WAL":                  {false, at(from + 50), false},
		"what was written instead":  {true, at(from), true},
		"nothing, as it is refused": {true, at(from + 50), false},
		"a base backup":             {true, written(from + 50), false}, // and the standby of that name comes back
	} {
		if j := heard.Judge(who, c.first, store(c.brings), nil); j.Instead != c.instead {
			t.Errorf("%s: %+v", name, j)
		}
	}
}
