package walsource

import (
	"bytes"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// lostTogether is a store that owes WAL for having been reported, and a primary.
type lostTogether struct {
	*Supply
	store *memStore
	srv   server
	at    *sender

	restart lsn.LSN // of the primary
	bound   lsn.LSN // of what is owed
	known   []knownwal.Known
	unshown atomic.Bool // no voter has what may be lost
	gaveUp  *LackError
}

// newLostTogether makes a primary that went down, if it did, where after says, and wrote on.
func newLostTogether(t *testing.T, went bool) *lostTogether {
	t.Helper()
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	g.Record(3000)
	end := g.End()
	g.Record(3000)
	x := &lostTogether{store: newMemStore(), restart: g.End(), bound: end + 1<<19}
	if went {
		g.ShutdownCheckpoint()
	}
	for range 20 {
		g.Record(3000)
	}
	x.store.id = walstore.Identity{System: g.Source.System, SegSize: 1 << 20, ServerMajor: g.Source.Major}
	x.store.pos = walstore.Positions{
		Timeline: 1, Oldest: g.Start(), Received: end, Written: end, Flushed: end, Complete: end,
	}
	x.store.owes = walstore.Repair{From: end, To: x.bound, Bound: x.bound}
	x.Supply = with(t, Options{
		Store:   x.store,
		Others:  func() ([]knownwal.Known, knownwal.Unheard) { return x.known, knownwal.Unheard{} },
		Unshown: func(at knownwal.Restart) bool { return x.unshown.Load() && at.LSN == x.restart },
		GiveUp:  func(e *LackError, _ bool) error { x.gaveUp = e; return nil },
	})
	x.Supply.log = slog.New(slog.DiscardHandler)
	x.at = newSender(bytes.Clone(g.Bytes(g.Start(), g.End())))
	x.srv = server{
		system: g.Source.System, timeline: 1, xlogpos: g.End(), history: lsn.History{Timeline: 1}, seg: 1 << 20,
		version: 150000, endpoint: "db1:5432",
	}
	x.srv.known = x.knowledge()
	return x
}

// shows has a standby come that has WAL up to at.
func (x *lostTogether) shows(at lsn.LSN) {
	p := lsn.Point{System: x.srv.system, Timeline: 1, LSN: at}
	x.known = append(x.known, knownwal.Known{Point: p, Acked: true, Complete: true, Shown: true})
}

// TestUpAllTheTime: a primary that did not go down is followed at once, whoever has come.
func TestUpAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, began := newLostTogether(t, false), time.Now()
		if err := x.standbysFirst(t.Context(), x.at, &x.srv); err != nil || time.Since(began) > time.Second {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		if x.at.starts != 1 {
			t.Errorf("it looked %d times", x.at.starts)
		}
	})
}

// TestLostTogether: a primary that went down is not followed before standbys were asked. One that has more than the primary
// came back with shows the loss, however far the primary has written on. Whoever has no more shows nothing.
func TestLostTogether(t *testing.T) {
	for name, c := range map[string]struct {
		shows, member lsn.LSN // beyond the restart
		refused       bool
	}{
		"more":                        {shows: 40, refused: true},
		"all that it came back with":  {shows: 0},
		"the checkpoint as well":      {shows: 120}, // it stopped in order
		"a member has it":             {shows: 40, member: 400},
		"a member has less":           {shows: 40, member: 39, refused: true},
		"more than the primary wrote": {shows: 1 << 18, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLostTogether(t, true)
				time.AfterFunc(2*time.Second, func() { x.shows(x.restart + c.shows) })
				if c.member != 0 {
					p := lsn.Point{System: x.srv.system, Timeline: 1, LSN: x.restart + c.member}
					x.known = append(x.known, knownwal.Known{Point: p, By: "b", Complete: true})
				}
				time.AfterFunc(4*time.Second, func() { x.unshown.Store(true) })
				began := time.Now()
				err := x.standbysFirst(t.Context(), x.at, &x.srv)
				took := time.Since(began)
				var e *LackError
				switch {
				case !c.refused && (err != nil || took < 4*time.Second || took > 5*time.Second):
					t.Errorf("%v, after %s", err, took)
				case c.refused && (!errors.As(err, &e) || took > 3*time.Second):
					t.Errorf("%v, after %s", err, took)
				case c.refused && (!e.Lost || e.From != x.restart || e.To != x.restart+c.shows):
					t.Errorf("%+v, the restart is at %s", e, x.restart)
				}
				if x.gaveUp != nil {
					t.Errorf("given up: %+v", x.gaveUp)
				}
				if !c.refused {
					return
				}
				_ = x.notFollowed(x.srv, err) // it is remembered, and the next attempt refuses it at once
				x.srv.known, x.srv.restart = x.knowledge(), nil
				if err := x.judge(x.store.Positions(), x.srv); !errors.As(err, new(*LackError)) {
					t.Errorf("the next time: %v", err)
				}
			})
		})
	}
}

// TestStandbysAreNotWaitedForLonger: where voters stay away the primary is followed after standbysPatience, over
// connections. What they may have is given up as any loss is, so that they get nothing when they come after all.
func TestStandbysAreNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, began := newLostTogether(t, true), time.Now()
		for x.gaveUp == nil {
			if settled, err := x.settled(t.Context(), x.at, &x.srv, true); err != nil || settled != (x.gaveUp != nil) {
				t.Fatalf("%v, %v", settled, err)
			}
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d < standbysPatience || d > standbysPatience+2*time.Second {
			t.Errorf("after %s", d)
		}
		if e := x.gaveUp; !e.Lost || e.Of != 1 || e.From != x.restart || e.To != x.bound {
			t.Errorf("given up: %+v", e)
		}
		x.store.locked(func() { x.store.owes = walstore.Repair{} })
		if settled, _ := x.settled(t.Context(), x.at, &x.srv, true); !settled || !x.standbysSince.IsZero() {
			t.Error("nothing is owed, and it is waited")
		}
	})
}
