package walsource

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// ownWord is the operator's word about one refusal, and void at another one that it does not cover.
type ownWord struct {
	wordOf
	said, waits *LackError
}

func (w *ownWord) Accepted(e *LackError) bool {
	s := w.said
	return s != nil && s.Timeline == e.Timeline && s.Of == e.Of && e.To <= s.To && (e.Lost || e.From >= s.From)
}

func (w *ownWord) Waits(_ lsn.TimelineID, all []*LackError) {
	var e *LackError
	if len(all) > 0 {
		e = all[0]
	}
	if e == nil || w.said != nil && !w.Accepted(e) {
		w.said = nil
	}
	w.waits = e
}

func (w *ownWord) Use(e *LackError, heard []lsn.LSN, aside *Aside) error {
	w.said, w.waits = nil, nil
	return w.wordOf.Use(e, heard, aside)
}

// lostAndPromoted is a Supply whose store owes WAL, or was emptied, and a server that lost that WAL, wrote on, and was
// promoted with a fork beyond what it lost.
type lostAndPromoted struct {
	*Supply
	t     *testing.T
	word  ownWord
	store Store
	mem   *memStore
	srv   server
	fork  lsn.LSN
	wal   []byte
	as    func(*lostAndPromoted) // at each attempt; nil: the server is a primary
	claim lsn.LSN                // acknowledged, as member b says; 0: it says nothing
	gave  []LackError
	named bool // the store had a name for that WAL when the loss was told
	looks int
}

func promotedLost(t *testing.T, empty bool) *lostAndPromoted {
	t.Helper()
	g, p := someWAL()
	owes, srv := owing(t, g, p)
	x := &lostAndPromoted{t: t, srv: srv, fork: p.LSN + 1000, wal: bytes.Clone(g.Bytes(g.Start(), g.End()))}
	x.wal[len(x.wal)-100]++
	x.srv.timeline, x.srv.history = 2, forkedAt(x.fork)
	x.mem = owes.o.Store.(*memStore)
	x.mem.promised = p.LSN
	x.store = x.mem
	x.mem.start, x.mem.data = senderStart, x.wal[:x.mem.pos.Received-senderStart]
	if empty {
		x.mem.id, x.mem.pos, x.mem.owes = walstore.Identity{}, walstore.Positions{}, walstore.Repair{}
		x.store = emptied{x.mem, walstore.Promise{At: p.LSN, System: 7, Timeline: 1, Print: p}}
	}
	x.start()
	return x
}

// start begins anew, as after a restart.
func (x *lostAndPromoted) start() {
	x.Supply = with(x.t, Options{
		Store: x.store, Accept: &x.word,
		GiveUp: func(e *LackError, _ bool) error {
			had, _, _ := x.had(x.store.Positions())
			x.named = had != lsn.Print{}
			x.gave = append(x.gave, *e)
			return nil
		},
		Others: func() (all []knownwal.Known, _ knownwal.Unheard) {
			if x.claim != lsn.Invalid {
				p := lsn.Point{System: 7, Timeline: 1, LSN: x.claim}
				all = append(all, knownwal.Known{Point: p, By: "b", Acked: true, Complete: true})
			}
			return all, knownwal.Unheard{}
		},
	})
	x.log = slog.New(slog.DiscardHandler)
}

// try makes one attempt, as prepareStream does, and returns what the server is refused for; nil: it is followed.
func (x *lostAndPromoted) try() (e *LackError) {
	x.t.Helper()
	if x.attempt = (&attempt{}); x.as != nil {
		x.as(x)
	}
	srv, s, have := x.srv, newSender(x.wal), x.store.Positions()
	srv.known = x.knowledge()
	err := x.recognise(x.t.Context(), s, &srv, have)
	if x.looks += s.starts; err == nil {
		x.partBefore(x.t.Context(), s, srv, have)
		err = x.judge(have, srv)
	}
	if err == nil {
		return nil
	}
	if x.lostWAL(srv, err); !errors.As(err, &e) {
		x.t.Fatal(err)
	}
	x.word.Waits(0, []*LackError{e})
	return e
}

// TestOneRefusalHasAllThatIsLacking: a promoted server has lost WAL before, and forked below other WAL that may be
// acknowledged. The operator's word about what it is refused for covers both, also at an election, which does not look.
func TestOneRefusalHasAllThatIsLacking(t *testing.T) {
	for name, beyond := range map[string]func(x *lostAndPromoted) (empty bool){
		"owed":                  func(x *lostAndPromoted) bool { x.mem.owes.To = x.fork + 500; return false },
		"promised":              func(x *lostAndPromoted) bool { x.mem.promised = x.fork + 500; x.start(); return false },
		"of a member":           func(x *lostAndPromoted) bool { x.claim = x.fork + 500; return false },
		"emptied, of a member":  func(x *lostAndPromoted) bool { x.claim = x.fork + 500; return true },
		"below what it has not": func(x *lostAndPromoted) bool { x.claim = x.fork - 2000; return false },
	} {
		synctest.Test(t, func(t *testing.T) {
			x := promotedLost(t, false)
			if beyond(x) {
				x = promotedLost(t, true)
				beyond(x)
			}
			first := x.try()
			if first == nil || first.From != lsn.Invalid || x.looks != 1 || max(x.claim, x.fork-1000) > first.To {
				t.Fatalf("%s: refused for %+v, looked %d times", name, first, x.looks)
			}
			if elected := x.knowledge().lack(x.srv); elected == nil || *elected != *first {
				t.Errorf("%s: an election refuses it for %+v", name, elected)
			}
			for _, wait := range []time.Duration{time.Second, partingDelay} {
				time.Sleep(wait)
				if e := x.try(); e == nil || *e != *first {
					t.Errorf("%s: then it is refused for %+v", name, e)
				}
			}
			x.word.said = x.word.waits
			if e := x.try(); e != nil || x.obeyed == nil {
				t.Errorf("%s: accepted, and refused for %+v", name, e)
			}
		})
	}
}

// TestLossBeforeAPromotionIsTold: WAL that a server lost before it was promoted is given up. Standbys that have it would
// go on below the fork, with other WAL. Who they are is made durable while the store still has a name for that WAL.
func TestLossBeforeAPromotionIsTold(t *testing.T) {
	for name, c := range map[string]struct{ empty, accepted bool }{
		"owed": {false, true}, "emptied": {true, true}, "it was not accepted": {false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := promotedLost(t, c.empty)
			x.claim = x.fork + 500
			since := x.mem.pos.Complete // an emptied store does not know it
			if x.try() == nil {
				t.Fatal(name, "it is followed")
			}
			if c.accepted {
				x.word.said = x.word.waits
				x.try()
			}
			begin := startPoint{1, senderStart}
			if err := x.startStream(begin, x.srv); err != nil {
				t.Fatal(name, err)
			}
			switch {
			case !c.accepted && x.gave != nil:
				t.Errorf("%s: given up: %+v", name, x.gave)
			case c.accepted && (len(x.gave) != 1 || x.gave[0].Of != 1 || x.gave[0].To != x.claim || x.gave[0].From != since):
				t.Errorf("%s: given up: %+v", name, x.gave)
			case c.accepted && !x.named:
				t.Errorf("%s: after a crash here it is not told", name)
			}
			if err := x.startStream(begin, x.srv); err != nil || c.accepted && len(x.gave) != 1 {
				t.Errorf("%s: told twice, %v", name, err)
			}
		})
	}
}

// TestKeptStaysPromised: from where on a promoted server lacks WAL is not known. What is given up for it ends the promise
// where the store's own WAL ends. A server that is promoted next with less than that is refused.
func TestKeptStaysPromised(t *testing.T) {
	for _, sibling := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := promotedLost(t, false)
			kept := x.mem.pos.Complete
			if sibling { // and it lacks all of a timeline that members have acknowledged
				x.mem.owes = walstore.Repair{}
				x.o.Others = func() ([]knownwal.Known, knownwal.Unheard) {
					p := lsn.Point{System: 7, Timeline: 3, LSN: x.fork}
					return []knownwal.Known{{Point: p, By: "b", Acked: true, Complete: true}}, knownwal.Unheard{}
				}
			}
			if x.try() == nil {
				t.Fatal("it is followed")
			}
			if x.word.said = x.word.waits; x.try() != nil || x.obeyed == nil {
				t.Fatal("it is accepted, and refused")
			}
			if err := x.follows(x.srv.history, 1); err != nil {
				t.Fatal(err)
			}
			if e := x.try(); e != nil {
				t.Errorf("sibling %v: its connection breaks, and it is refused for %+v", sibling, e)
			}
			if at := x.rcv.Promised(); at != kept {
				t.Errorf("sibling %v: the store has WAL up to %s, the promise ends at %s", sibling, kept, at)
			}
			x.o.Others = func() ([]knownwal.Known, knownwal.Unheard) { return nil, knownwal.Unheard{} }
			x.srv.history = forkedAt(kept - 30_000)
			if e := x.try(); e == nil || e.To != kept {
				t.Errorf("sibling %v: it lacks WAL that is stored and was reported, refused for %+v", sibling, e)
			}
		})
	}
}
