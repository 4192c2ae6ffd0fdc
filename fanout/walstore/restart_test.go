package walstore

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSentRestart: a primary that went down shows it by a shutdown checkpoint, or by a record that it gave up. One that
// was up all the time shows nothing, wherever its WAL ends and whatever lies before.
func TestSentRestart(t *testing.T) {
	type want struct {
		from, clean lsn.LSN
		found       bool
	}
	for name, c := range map[string]func(g *walstoretest.Generator) want{
		"up all the time": func(g *walstoretest.Generator) want {
			for range 20 {
				g.Record(3000)
			}
			return want{}
		},
		"it stopped, or recovered": func(g *walstoretest.Generator) want {
			g.Record(3000)
			r := g.ShutdownCheckpoint()
			g.Record(10)
			g.ShutdownCheckpoint()
			return want{r.LSN, r.End, true}
		},
		"at once": func(g *walstoretest.Generator) want {
			r := g.ShutdownCheckpoint()
			return want{r.LSN, r.End, true}
		},
		"behind a switch": func(g *walstoretest.Generator) want {
			g.Switch()
			r := g.ShutdownCheckpoint()
			return want{r.LSN, r.End, true}
		},
		"it crashed amid a record": func(g *walstoretest.Generator) want {
			r := g.Record(100)
			g.Broken(2)
			g.ShutdownCheckpoint()
			return want{from: r.End, found: true}
		},
		"other WAL": func(g *walstoretest.Generator) want {
			r := g.Record(100)
			next := g.Record(100)
			g.Record(100)
			g.Bytes(next.LSN, next.End)[30] ^= 1
			return want{from: r.End, found: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGen()
			g.Record(100)
			g.ShutdownCheckpoint() // the store has seen that
			g.Record(5000)
			since := g.End()
			w := c(g)
			for _, cut := range []int{0, 40, 5000} {
				end := max(since, g.End()-lsn.LSN(cut))
				if cut != 0 && w.found {
					continue // what shows it may not be there yet
				}
				id := Identity{System: g.Source.System, SegSize: g.Source.SegSize, ServerMajor: g.Source.Major}
				f := NewSentRestart(id, g.Timeline(), since.PageStart())
				for at := since.PageStart(); at < end; {
					stop := min(end, at+7777)
					f.Add(g.Bytes(at, stop))
					at = stop
				}
				if from, clean, found := f.First(since); found != w.found || from != w.from || clean != w.clean {
					t.Errorf("%d bytes before the end: %s, %s, %v, want %+v", cut, from, clean, found, w)
				}
			}
		})
	}
}
