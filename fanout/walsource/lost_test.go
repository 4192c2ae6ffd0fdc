package walsource

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestLostWALStaysLost: a primary that was refused for lost WAL stays refused when it has written as much other WAL
// since. That holds here, and at a member that knows of it only by the word of the one who saw it. A store with that
// WAL tells by bytes.
func TestLostWALStaysLost(t *testing.T) {
	const sys, from, to = 7, lsn.LSN(0x3000100), lsn.LSN(0x3000F18)
	lost := knownwal.Known{
		Point: lsn.Point{System: sys, Timeline: 1, LSN: to}, Complete: true, Lost: true, From: from,
	}
	said := lost
	said.By = "b"
	mine := func(endpoint string) lostAt { return lostAt{endpoint: {lost}} }
	primary := server{
		system: sys, timeline: 1, xlogpos: to + 0x1000, history: lsn.History{Timeline: 1}, endpoint: "db1:5432",
	}
	other, proxy, promoted, recovering := primary, primary, primary, primary
	other.system, proxy.virtual = 8, true
	promoted.timeline, promoted.history = 2, lsn.History{Timeline: 2}
	recovering.settings = map[string]string{inHotStandby: "on"}
	has := func(at lsn.LSN) lsn.Point { return lsn.Point{System: sys, Timeline: 1, LSN: at} }
	for name, c := range map[string]struct {
		k    knowledge
		srv  server
		by   string
		lost bool
	}{
		"an empty store saw it itself":     {knowledge{lost: mine("db1:5432")}, primary, "", true},
		"it was another host":              {knowledge{lost: mine("db2:5432")}, primary, "", false},
		"an empty store is told":           {knowledge{all: []knownwal.Known{said}}, primary, "b", true},
		"a store that ends below is told":  {knowledge{all: []knownwal.Known{said}, have: has(from)}, primary, "b", true},
		"a store that has the WAL":         {knowledge{all: []knownwal.Known{said}, have: has(to)}, primary, "", false},
		"another system":                   {knowledge{all: []knownwal.Known{said}}, other, "", false},
		"a proxy judges itself":            {knowledge{all: []knownwal.Known{said}}, proxy, "", false},
		"a standby":                        {knowledge{all: []knownwal.Known{said}}, recovering, "", false},
		"a server that was promoted since": {knowledge{all: []knownwal.Known{said}}, promoted, "", false},
		"nobody has ever seen that":        {knowledge{}, primary, "", false},
	} {
		e := c.k.lack(c.srv)
		if (e != nil) != c.lost || e != nil && (!e.Lost || e.From != from || e.To != to || e.By != c.by) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestLostWALOutlivesARestart: what was refused before the start is refused on whatever host, by what it had when it was
// first seen, until it is streamed from.
func TestLostWALOutlivesARestart(t *testing.T) {
	was := &LackError{System: 7, Timeline: 1, From: 0x3000060, To: 0x5000000, Of: 1, Lost: true}
	r := with(t, Options{Store: newMemStore(), Accept: &wordOf{refused: was}})
	r.recall()
	primary := server{
		system: 7, timeline: 1, history: lsn.History{Timeline: 1}, xlogpos: 0x6000000, endpoint: "db1:5432",
	}
	e := r.knowledge().lack(primary)
	if e == nil || *e != *was {
		t.Errorf("%+v", e)
	}
	if r.lostBy == nil || r.lostBy.Endpoint != "" || r.lostBy.LackError != *was {
		t.Errorf("%+v is shown", r.lostBy)
	}
	other := primary
	if other.system = 8; r.knowledge().lack(other) != nil {
		t.Error("another system has lost nothing")
	}
	if r.forgive("db1:5432"); r.knowledge().lack(primary) != nil {
		t.Error("it is streamed from, and refused")
	}
}

// TestLostWALIsForgiven: what a server was refused for is remembered for its host, until it is streamed from.
func TestLostWALIsForgiven(t *testing.T) {
	r := &Supply{}
	srv := server{system: 7, timeline: 1, endpoint: "db1:5432"}
	r.lostWAL(srv, (&LackError{Timeline: 1, From: 1, To: 2, Of: 1, Lost: true, By: "b"}).refusal(words{}))
	r.lostWAL(srv, (&LackError{Timeline: 2, From: 1, To: 2, Of: 1}).refusal(words{}))
	if r.lostBy == nil || r.lostBy.Endpoint != "db1:5432" || r.lostBy.By != "b" {
		t.Fatalf("what a member tells is not shown: %+v", r.lostBy)
	}
	if r.lost.Load() != nil {
		t.Fatal("a member's word, or a timeline that lacks WAL, is remembered as the server's loss")
	}
	r.forgive("db1:5432")
	r.lostWAL(srv, (&LackError{Timeline: 1, From: 1, To: 2, Of: 1, Lost: true}).refusal(words{}))
	if k := (*r.lost.Load())["db1:5432"]; len(k) != 1 || !k[0].Lost || k[0].LSN != 2 || k[0].From != 1 {
		t.Fatalf("%+v", k)
	}
	if r.lostBy == nil || r.lostBy.To != 2 || r.lostBy.By != "" {
		t.Fatalf("%+v is shown", r.lostBy)
	}
	r.forgive("db2:5432")
	if r.lostBy != nil {
		t.Fatalf("a server is streamed from, and %+v is shown", r.lostBy)
	}
	if len(*r.lost.Load()) != 1 {
		t.Fatal("another host's")
	}
	r.forgive("db1:5432")
	if len(*r.lost.Load()) != 0 {
		t.Fatal("streamed from, and not forgiven")
	}
}

// TestWordEndsWithTheStream: once a server is streamed from, an operator's earlier word is over. That holds also where
// another server is refused beside it, which would be followed as soon as this one is away for a moment. A word that is
// being obeyed is not over.
func TestWordEndsWithTheStream(t *testing.T) {
	lack := &LackError{Timeline: 1, From: 1, To: 2, Of: 1, Lost: true}
	for name, c := range map[string]struct {
		unfit  []*LackError
		obeyed *LackError
		want   [][]*LackError
	}{
		"alone":                 {nil, nil, [][]*LackError{nil}},
		"another one is beside": {[]*LackError{lack}, nil, [][]*LackError{nil, {lack}}},
		"it is obeyed":          {nil, lack, nil},
	} {
		w := &wordOf{}
		r := with(t, Options{Store: newMemStore(), Accept: w})
		r.unfit, r.obeyed = c.unfit, c.obeyed
		r.endWord(1)
		if !slices.EqualFunc(w.waited, c.want, slices.Equal) {
			t.Errorf("%s: %v waits", name, w.waited)
		}
	}
}

// TestLossBeginsWhereHistoriesPart: at the lowest position that was found by comparing, here or by a member, never at
// where the primary was when it was asked. Up to where the store ends is used only where nobody knows better.
func TestLossBeginsWhereHistoriesPart(t *testing.T) {
	p := func(at lsn.LSN) lsn.Point { return lsn.Point{System: 7, Timeline: 1, LSN: at} }
	had := knownwal.Known{Point: p(0x9000), By: "b", Complete: true}
	told := func(from lsn.LSN) knownwal.Known {
		return knownwal.Known{Point: p(0x9000), By: "b", Complete: true, Lost: true, From: from}
	}
	own := func(at lsn.LSN, exact bool) map[string]parting {
		return map[string]parting{"db1": {system: 7, timeline: 1, at: at, exact: exact}}
	}
	srv := server{
		system: 7, timeline: 1, xlogpos: 0x8000, history: lsn.History{Timeline: 1}, endpoint: "db1",
	}
	for name, c := range map[string]struct {
		k    knowledge
		from lsn.LSN
	}{
		"nobody has compared":              {knowledge{all: []knownwal.Known{had}}, lsn.Invalid},
		"a member could not":               {knowledge{all: []knownwal.Known{had, told(lsn.Invalid)}}, lsn.Invalid},
		"this proxy has":                   {knowledge{all: []knownwal.Known{had, told(lsn.Invalid)}, partings: own(0x5000, true)}, 0x5000},
		"the member's is lower":            {knowledge{all: []knownwal.Known{had, told(0x4000)}, partings: own(0x5000, true)}, 0x4000},
		"the own one is":                   {knowledge{all: []knownwal.Known{had, told(0x6000)}, partings: own(0x5000, true)}, 0x5000},
		"the store ends before":            {knowledge{all: []knownwal.Known{had, told(0x6000)}, partings: own(0x5000, false)}, 0x6000},
		"it does, and no member says more": {knowledge{all: []knownwal.Known{had}, partings: own(0x5000, false)}, 0x5000},
		"a member has said so once": {knowledge{all: []knownwal.Known{had}, partings: map[string]parting{"db1": {
			system: 7, timeline: 1, at: 0x5000, told: 0x6000}}}, 0x6000},
		"not known here": {knowledge{all: []knownwal.Known{had, told(0x6000)}, partings: own(lsn.Invalid, false)}, 0x6000},
	} {
		if e := c.k.lack(srv); e == nil || !e.Lost || e.From != c.from || e.To != 0x9000 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
