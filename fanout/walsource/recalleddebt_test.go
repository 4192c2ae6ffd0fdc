package walsource

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRecalledDebtIsNoRecordsEnd: the store owes WAL up to a position inside a record, or had promised it. A promoted
// server that forked below is refused, and that is recalled after a restart. The old primary has come back with every
// complete record: it is not refused for what is recalled, and the promoted one is.
func TestRecalledDebtIsNoRecordsEnd(t *testing.T) {
	g, p := someWAL()
	to := p.LSN + 5000
	for name, owes := range map[string]func(m *memStore){
		"owed":     func(m *memStore) { m.owes.To = to },
		"promised": func(m *memStore) { m.owes.To, m.owes.Damage, m.promised = to, walstore.ErrDamaged, to },
	} {
		r, old := owing(t, g, p)
		m := r.o.Store.(*memStore)
		owes(m)
		word := &wordOf{}
		try := func(srv server) (e *LackError) {
			r.attempt = &attempt{}
			srv.known = r.knowledge()
			have := m.Positions()
			err := r.recognise(t.Context(), newSender(g.Bytes(g.Start(), g.End())), &srv, have)
			if err == nil {
				err = r.judge(have, srv)
			}
			r.lostWAL(srv, err)
			if err != nil && !errors.As(err, &e) {
				t.Fatal(name, err)
			}
			return e
		}
		for _, again := range []bool{false, true} {
			if again {
				r = with(t, Options{Store: m, Accept: word})
				r.recall()
			} else {
				r = with(t, Options{Store: m})
			}
			promoted := old
			promoted.timeline, promoted.endpoint, promoted.history = 2, "db2:5432", forkedAt(p.LSN)
			if word.refused = try(promoted); word.refused == nil || word.refused.To != to {
				t.Fatalf("%s, again %v: it may lack what was reported, refused for %v", name, again, word.refused)
			}
			for _, at := range []lsn.LSN{p.LSN + 200, p.LSN + 100_000} {
				if old.xlogpos = at; try(old) != nil {
					t.Errorf("%s, again %v: the old primary at %s: %v", name, again, at, try(old))
				}
			}
		}
	}
}
