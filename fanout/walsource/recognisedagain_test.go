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
)

// TestLookedAtAgainOnceForgiven: an emptied store has refused a primary that lost WAL. What was found at its address is
// forgotten, as another server there has that WAL or was streamed from. The wrong one is back a moment later, and is
// looked at again.
func TestLookedAtAgainOnceForgiven(t *testing.T) {
	g, p := someWAL()
	right := g.Bytes(g.Start(), g.End())
	wrong := bytes.Clone(right)
	wrong[len(wrong)-100]++
	old := server{system: 7, timeline: 1, xlogpos: g.End() + 1<<20, history: lsn.History{Timeline: 1}, seg: 1 << 20,
		version: 150000, endpoint: "vip:5432"}
	promoted := old
	promoted.timeline, promoted.history = 2, forkedAt(p.LSN+1000)
	for name, forget := range map[string]func(r *Supply, try func(server, []byte) error) error{
		"recognised":    func(_ *Supply, try func(server, []byte) error) error { return try(promoted, right) },
		"streamed from": func(r *Supply, _ func(server, []byte) error) error { r.forgive(old.endpoint); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := emptied{newMemStore(), walstore.Promise{At: p.LSN, System: 7, Timeline: 1, Print: p}}
				r := with(t, Options{Store: m})
				r.log = slog.New(slog.DiscardHandler)
				looks := 0
				try := func(srv server, wal []byte) error {
					r.attempt = &attempt{}
					srv.known = r.knowledge()
					s, have := newSender(wal), m.Positions()
					err := errors.Join(r.recognise(t.Context(), s, &srv, have), r.judge(have, srv))
					looks += s.starts
					return err
				}
				for range 2 {
					if err := try(old, wrong); err == nil || looks != 1 {
						t.Fatalf("the wrong one: %v, looked %d times", err, looks)
					}
				}
				if err := forget(r, try); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if err := try(old, wrong); err == nil {
					t.Errorf("a primary that lost WAL is followed, looked %d times", looks)
				}
			})
		})
	}
}

// forkedAt returns the history of timeline 2, which left timeline 1 at fork.
func forkedAt(fork lsn.LSN) lsn.History {
	return lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: fork}}}
}
