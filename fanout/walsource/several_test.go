package walsource

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestEachRefusedHostIsTold: two hosts were promoted, to different timelines, and lack acknowledged WAL. Both refusals are
// noted, so that an operator can accept either, and shown.
func TestEachRefusedHostIsTold(t *testing.T) {
	promoted := func(timeline, fork string) *walsender {
		return newWalsender(t, map[string][]byte{
			"IDENTIFY_SYSTEM":  ready(row("IDENTIFY_SYSTEM", fakeSystem, timeline, "0/3000000", "")),
			"TIMELINE_HISTORY": ready(row("X", "0000000"+timeline+".history", "1\t"+fork+"\tno recovery target specified")),
		})
	}
	db1, db2 := promoted("3", "0/1000010"), promoted("2", "0/1000008")
	config, err := upstream.Parse(fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=u sslmode=disable "+
		"target_session_attrs=any",
		db1.config.Endpoints()[0].Port, db2.config.Endpoints()[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	const system = 7000000000000000001 // fakeSystem
	m, word, tried := newMemStore(), &wordOf{}, make(chan []*LackError, 1)
	m.id = walstore.Identity{System: system, SegSize: lsn.SegSize(fakeSeg), ServerMajor: 15}
	m.pos = walstore.Positions{Timeline: 1, Oldest: fakeSeg, Received: fakeSeg + 6, Written: fakeSeg + 6, Flushed: fakeSeg + 6, Complete: fakeSeg + 6}
	acked := knownwal.Known{Point: lsn.Point{System: system, Timeline: 1, LSN: 0x1000040}, By: "b", Acked: true, Complete: true}
	r := start(t, db1, m, func(o *Options) {
		o.Upstream, o.Accept = config, told{word, tried}
		o.Others = func() ([]knownwal.Known, knownwal.Unheard) { return []knownwal.Known{acked}, knownwal.Unheard{} }
	})
	all := <-tried
	if len(all) != 2 || all[0].Timeline != 3 || all[0].From != 0x1000010 || all[1].Timeline != 2 || all[1].From != 0x1000008 {
		t.Errorf("noted: %+v", all)
	}
	s := r.await("refusals", func(s Status) bool { return s.Lack() != nil })
	if len(s.Lacks) != 2 || *s.Lack() != *s.Lacks[1] {
		t.Errorf("shown: %+v", s.Lacks)
	}
}

// told passes on the refusals that are noted.
type told struct {
	*wordOf
	to chan<- []*LackError
}

func (w told) Waits(_ lsn.TimelineID, all []*LackError) {
	select {
	case w.to <- all:
	default:
	}
}

func (w told) Refused() []*LackError { return nil }

// severalRefused has refused them before the start.
type severalRefused struct {
	*wordOf
	all []*LackError
}

func (w severalRefused) Refused() []*LackError { return w.all }

// TestEachRefusalOutlivesARestart: what several servers were refused for is held against each after a restart.
func TestEachRefusalOutlivesARestart(t *testing.T) {
	fork2 := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 0x1000}}}
	fork5 := lsn.History{Timeline: 5, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 0x9000}}}
	fork3 := lsn.History{Timeline: 3, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 0x1800}}}
	all := []*LackError{
		{System: 7, Timeline: 1, From: 0x100, To: 0x9000, Of: 1, Lost: true},
		{System: 7, Timeline: 5, From: 0xA000, To: 0xB000, Of: 5, Lost: true},
		{System: 7, Timeline: 2, From: 0x1000, To: 0x1900, Of: 1, By: "b"},
		{System: 7, Timeline: 3, From: 0x1800, To: 0x1900, Of: 1, By: "c"},
	}
	r := with(t, Options{Store: newMemStore(), Accept: severalRefused{&wordOf{}, all}})
	r.recall()
	for i, srv := range []server{
		{system: 7, timeline: 1, xlogpos: 0xA000, history: lsn.History{Timeline: 1}, endpoint: "db1"},
		{system: 7, timeline: 5, xlogpos: 0xC000, history: fork5, endpoint: "db2"},
		{system: 7, timeline: 2, xlogpos: 0x2000, history: fork2, endpoint: "db3"},
		{system: 7, timeline: 3, xlogpos: 0x2000, history: fork3, endpoint: "db4"},
	} {
		e := r.knowledge().lack(srv)
		if e == nil || e.Of != all[i].Of || e.To != all[i].To || e.From != all[i].From {
			t.Errorf("timeline %s: %+v", srv.timeline, e)
		}
	}
	r.dropLost(all[0])
	if len((*r.lost.Load())[anyEndpoint]) != 1 {
		t.Errorf("one of them is given up: %+v", *r.lost.Load())
	}
}
