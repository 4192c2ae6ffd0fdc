package walsource

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestListenAsks: a member is heard with what it had some seconds ago. It is asked before the first server is judged, also
// while another member is down and is waited for.
func TestListenAsks(t *testing.T) {
	for _, down := range [][]string{nil, {"c"}} {
		synctest.Test(t, func(t *testing.T) {
			said := lsn.LSN(0x1000100)
			r := with(t, Options{
				Store: newMemStore(),
				Others: func() ([]knownwal.Known, knownwal.Unheard) {
					p := lsn.Point{System: 7, Timeline: 1, LSN: said}
					return []knownwal.Known{{Point: p, By: "b", Acked: true, Complete: true}}, knownwal.Unheard{Members: down}
				},
				Ask: func(context.Context) { said = 0x2000000 },
			})
			r.began = time.Now()
			if err := r.listen(t.Context()); err != nil {
				t.Fatal(err)
			}
			srv := server{system: 7, timeline: 1, xlogpos: 0x1000200, history: lsn.History{Timeline: 1}, endpoint: "db1:5432"}
			if e := r.knowledge().lack(srv); e == nil || !e.Lost || e.To != said {
				t.Errorf("%v down: %+v", down, e)
			}
		})
	}
}
