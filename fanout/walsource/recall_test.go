package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestRefusalOutlivesARestart: acknowledged WAL that a server lacked before the start is held against it. That ends when
// the member that knew of it has spoken again, whatever it says, or when a server is followed.
func TestRefusalOutlivesARestart(t *testing.T) {
	const fork = lsn.LSN(0x3000060)
	was := &LackError{System: 7, Timeline: 2, From: fork, To: 0x3800000, Of: 1, By: "a"}
	unknown := *was // the store of a was emptied amid reports
	unknown.To = walstore.PromisedAll
	wrong := server{
		system: 7, timeline: 2, xlogpos: 0x4000000, endpoint: "db2:5432",
		history: lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: fork}}},
	}
	says := func(by string) knownwal.Known {
		return knownwal.Known{Point: lsn.Point{System: 7, Timeline: 1, LSN: fork}, By: by, Acked: true, Complete: true}
	}
	for name, c := range map[string]struct {
		refused *LackError
		said    []knownwal.Known
		lacks   bool
	}{
		"alone":                         {was, nil, true},
		"nobody knows how far":          {&unknown, nil, true},
		"so far, and it has spoken":     {&unknown, []knownwal.Known{says("a")}, false},
		"another member has spoken":     {was, []knownwal.Known{says("b")}, true},
		"the one that knew of it has":   {was, []knownwal.Known{says("b"), says("a")}, false},
		"nothing was refused":           {nil, nil, false},
		"this proxy knew of it by acks": {&LackError{System: 7, Timeline: 2, From: fork, To: 0x3800000, Of: 1}, []knownwal.Known{says("a")}, true},
	} {
		r := with(t, Options{
			Store: newMemStore(), Accept: &wordOf{refused: c.refused},
			Others: func() ([]knownwal.Known, knownwal.Unheard) { return c.said, knownwal.Unheard{} },
		})
		r.recall()
		e := r.knowledge().lack(wrong)
		if (e != nil) != c.lacks || e != nil && *e != *c.refused {
			t.Errorf("%s: %+v", name, e)
		}
		right := wrong
		right.timeline, right.history = 3, lsn.History{Timeline: 3, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 0x3900000}}}
		nobodyKnows := c.lacks && c.refused == &unknown
		if e := r.knowledge().lack(right); (e != nil) != nobodyKnows {
			t.Errorf("%s: of a server that has it: %+v", name, e)
		}
		old := wrong
		if old.timeline, old.history = 1, (lsn.History{Timeline: 1}); r.knowledge().lack(old) != nil {
			t.Errorf("%s: the server of that timeline is refused: %+v", name, r.knowledge().lack(old))
		}
		if r.forgive("db3:5432"); r.knowledge().lack(wrong) != nil {
			t.Errorf("%s: it is held against others once a server is followed", name)
		}
	}
}

// TestUnknownEndIsGivenUp: a refusal whose end nobody knows is recalled after a restart, until the operator gives that WAL
// up, for good.
func TestUnknownEndIsGivenUp(t *testing.T) {
	const fork = lsn.LSN(0x3000060)
	word := &wordOf{refused: &LackError{System: 7, Timeline: 2, From: fork, To: walstore.PromisedAll, Of: 1, By: "a"}}
	wrong := server{
		system: 7, timeline: 2, xlogpos: 0x4000000, endpoint: "db2:5432",
		history: lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: fork}}},
	}
	m := newMemStore()
	r := with(t, Options{Store: m, Accept: word})
	r.recall()
	judge := func() error {
		wrong.known = r.knowledge()
		return r.judge(m.pos, wrong)
	}
	if judge() == nil {
		t.Fatal("it is followed after the restart")
	}
	if word.say(2); judge() != nil || r.obeyed == nil {
		t.Fatalf("the operator's word is not obeyed: %v", judge())
	}
	if err := word.Use(r.obeyed, r.heard, nil); err != nil {
		t.Fatal(err)
	}
	if err := judge(); err != nil {
		t.Errorf("once the word is used: %v", err)
	}
}
