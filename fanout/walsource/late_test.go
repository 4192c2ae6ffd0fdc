package walsource

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestLateLacks: by the word of a member that was not heard when the store came to its timeline, that one may lack WAL
// of those that it has left. What was judged then, or is given up, is not asked for again.
func TestLateLacks(t *testing.T) {
	const fork = lsn.LSN(0x5000000)
	p := func(t lsn.TimelineID, at lsn.LSN) lsn.Point { return lsn.Point{System: 7, Timeline: t, LSN: at} }
	for name, c := range map[string]struct {
		said  knownwal.Known
		word  *wordOf
		lacks bool
	}{
		"beyond the fork":                {knownwal.Known{Point: p(1, fork+100), Acked: true, Late: true}, nil, true},
		"the end of a record":            {knownwal.Known{Point: p(1, fork+8), Acked: true, Complete: true, Late: true}, nil, true},
		"no record fits":                 {knownwal.Known{Point: p(1, fork+8), Acked: true, Late: true}, nil, false},
		"at the fork":                    {knownwal.Known{Point: p(1, fork), Acked: true, Complete: true, Late: true}, nil, false},
		"it was heard":                   {knownwal.Known{Point: p(1, fork+100), Acked: true}, nil, false},
		"nobody acknowledged it":         {knownwal.Known{Point: p(1, fork+100), Complete: true, Late: true}, nil, false},
		"of the stored timeline":         {knownwal.Known{Point: p(2, fork+1<<20), Acked: true, Complete: true, Late: true}, nil, false},
		"of one that may go on from it":  {knownwal.Known{Point: p(3, fork+1<<20), Acked: true, Complete: true, Late: true}, nil, false},
		"the operator has given it up":   {knownwal.Known{Point: p(1, fork+100), Acked: true, Late: true}, &wordOf{of: 1, heard: []lsn.LSN{fork + 100}}, false},
		"of another system of that name": {knownwal.Known{Point: lsn.Point{System: 8, Timeline: 1, LSN: fork + 100}, Acked: true, Late: true}, nil, false},
	} {
		m := newMemStore()
		m.id.System, m.pos.Timeline, m.pos.Received = 7, 2, fork+1<<10
		m.histories[2] = []byte("1\t0/5000000\tpromoted\n")
		c.said.By = "a"
		o := Options{Store: m, Others: func() ([]knownwal.Known, knownwal.Unheard) { return []knownwal.Known{c.said}, knownwal.Unheard{} }}
		if c.word != nil {
			o.Accept = c.word
		}
		r := with(t, o)
		want := []LackError{{System: 7, Timeline: 2, From: fork, To: c.said.LSN, Of: 1, By: "a"}}
		if got := r.lateLacks(); c.lacks && !slices.Equal(got, want) || !c.lacks && got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestLateMemberIsTold: a member is heard that may have acknowledged WAL which the followed timeline lacks. That is told,
// and the stream goes on: the member's word is a bound.
func TestLateMemberIsTold(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"IDENTIFY_SYSTEM":    ready(row("IDENTIFY_SYSTEM", fakeSystem, "2", "0/1000008", "NULL")),
		"TIMELINE_HISTORY 2": ready(row("TIMELINE_HISTORY", "00000002.history", "1\t0/1000006\tpromoted\n")),
	}), newMemStore()
	var said atomic.Bool
	var left []lsn.TimelineID
	r := start(t, w, m, func(o *Options) {
		o.Others = func() (all []knownwal.Known, unheard knownwal.Unheard) {
			if said.Load() {
				at := lsn.Point{Timeline: 1, LSN: 0x2000000}
				all = append(all, knownwal.Known{Point: at, By: "a", Acked: true, Complete: true, Late: true})
			}
			return all, unheard
		}
		o.Leaves = func(t lsn.TimelineID) error { left = append(left, t); return nil }
		o.EndSessions = func(context.Context) { t.Error("sessions are ended") }
	})
	c := <-w.copies
	c.send(xlog(fakeSeg, "abcdefgh"))
	r.await("WAL", func(s Status) bool { return s.Received == fakeSeg+8 })
	if len(left) != 1 || left[0] != 0 {
		t.Errorf("timelines %v are left", left)
	}
	said.Store(true)
	s := r.await("the member's word", func(s Status) bool { return s.Late != nil })
	if s.Late[0].From != 0x1000006 || s.Late[0].By != "a" || s.Lack() != nil {
		t.Errorf("%+v, %+v", s.Late, s.Lack())
	}
	c.send(xlog(fakeSeg+8, "ijkl"))
	c.awaitFlush(fakeSeg + 12)
}

// TestLateMemberIsLoggedOnce: members that follow the old primary go on, and what they may have acknowledged rises with
// each commit there. Each is logged once, and again when another timeline is concerned, or when it had been over.
func TestLateMemberIsLoggedOnce(t *testing.T) {
	const fork = lsn.LSN(0x5000000)
	m := newMemStore()
	m.id.System, m.pos.Timeline, m.pos.Received = 7, 3, fork+1<<20
	m.histories[3] = []byte("1\t0/5000000\tpromoted\n2\t0/6000000\tpromoted\n")
	says, logged := map[string]lsn.Point{}, lateFacts{}
	var log strings.Builder
	r := with(t, Options{Store: m, Others: func() (all []knownwal.Known, _ knownwal.Unheard) {
		for _, name := range slices.Sorted(maps.Keys(says)) {
			all = append(all, knownwal.Known{Point: says[name], By: name, Acked: true, Late: true})
		}
		return all, knownwal.Unheard{}
	}})
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	look := func(what string, want ...string) {
		t.Helper()
		log.Reset()
		r.lookLate(logged)
		lines := strings.Count(log.String(), "\n")
		for _, words := range want {
			if !strings.Contains(log.String(), words) {
				t.Errorf("%s: %q is not logged", what, words)
			}
		}
		if lines != len(want) {
			t.Errorf("%s: %d lines, not %d:\n%s", what, lines, len(want), log.String())
		}
	}
	goOn := func(name string, timeline lsn.TimelineID, by lsn.LSN) {
		p := says[name]
		says[name] = lsn.Point{System: 7, Timeline: timeline, LSN: max(p.LSN, fork) + by}
	}
	look("nobody")
	goOn("b", 1, 100)
	look("b", "member=b timeline=3 of_timeline=1")
	goOn("c", 1, 200)
	look("c", "member=c")
	for _, name := range []string{"b", "c", "b"} { // each is the furthest once
		goOn(name, 1, 1000)
		look(name + " goes on")
	}
	goOn("c", 2, 0x2000000)
	look("c is on another one", "member=c timeline=3 of_timeline=2")
	delete(says, "b")
	look("b has given it up")
	goOn("b", 1, 100)
	look("b again", "member=b")
}
