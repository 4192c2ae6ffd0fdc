package walsource

import (
	"context"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// withoutHistories is a server that has no history files of earlier timelines than its own.
type withoutHistories struct {
	directory
	code pgerror.Code
}

func (w *withoutHistories) TimelineHistory(_ context.Context, t lsn.TimelineID) ([]byte, error) {
	return nil, pgerror.New(w.code, "could not read file %q", "pg_wal/"+t.HistoryFileName())
}

// TestHistoriesOfAncestors: a server that began as a base backup of a late timeline has no history files of earlier
// ones. A member that gets its WAL from there has none either. Each is the beginning of the one that the server has.
// The store gets it from there, wherever its WAL begins, so that whoever follows this proxy gets it too.
func TestHistoriesOfAncestors(t *testing.T) {
	const (
		two   = "1\t0/1000050\tno recovery target specified\n"
		three = two + "\n2\t0/2000050\tbefore 2026-11-05 10:00:00+00\n"
		four  = three + "\n3\t0/3000050\tno recovery target specified\n"
	)
	h, err := lsn.ParseHistory(4, []byte(four))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []pgerror.Code{pgerror.UndefinedFile, pgerror.IOError} { // of PostgreSQL, of a member
		for _, have := range []walstore.Positions{{}, {Timeline: 1, Received: 0x1000020}, {Timeline: 4, Received: 0x3000060}} {
			m := newMemStore()
			m.pos = have
			r := with(t, Options{Store: m})
			r.own = []byte(four)
			srv := server{system: 7, timeline: 4, xlogpos: 0x4000000, history: h}
			if err := r.mirrorHistories(t.Context(), &withoutHistories{code: code}, srv, 4); err != nil {
				t.Errorf("%s, on timeline %s: %v", code, have.Timeline, err)
			}
			for tli, want := range map[lsn.TimelineID]string{2: two, 3: three} {
				if got, err := m.HistoryFile(tli); err != nil || string(got) != want {
					t.Errorf("%s, on timeline %s: the history of %s is %q, %v", code, have.Timeline, tli, got, err)
				}
			}
		}
	}
	// A timeline that is no ancestor has nothing to do with the server.
	m := newMemStore()
	r := with(t, Options{Store: m})
	r.own = []byte("1\t0/1000050\tx\n")
	srv := server{system: 7, timeline: 3, history: lsn.History{Timeline: 3, Parents: []lsn.HistoryEntry{{Timeline: 1}}}}
	err = r.mirrorHistories(t.Context(), &withoutHistories{code: pgerror.UndefinedFile}, srv, 3)
	if _, none := m.HistoryFile(2); err != nil || none == nil {
		t.Errorf("of a timeline that is no ancestor: %v, %v", err, none)
	}
}
