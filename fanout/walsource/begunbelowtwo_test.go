package walsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// begunBelow is a store that had promised WAL of timeline 3, was emptied, and begins anew on an earlier timeline.
type begunBelow struct {
	*Supply
	t     *testing.T
	disk  *vfs.Mem
	store *walstore.Store
	wal   map[lsn.TimelineID]*walstoretest.Generator
	right server // that is followed: it writes timeline 3 at first
}

func newBegunBelow(t *testing.T, promised func(end lsn.LSN) lsn.LSN) *begunBelow {
	one := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	one.Fill(one.Start()+1500<<10, rand.New(rand.NewPCG(1, 1)))
	two := one.Fork(one.End(), 2)
	two.Fill(two.End()+1500<<10, rand.New(rand.NewPCG(2, 1)))
	three := two.Fork(two.End(), 3)
	three.Fill(three.End()+1500<<10, rand.New(rand.NewPCG(3, 1)))
	x := &begunBelow{t: t, wal: map[lsn.TimelineID]*walstoretest.Generator{1: one, 2: two, 3: three}}
	x.right = x.primary(three)
	x.open(vfs.NewMem())
	err := x.store.Adopt(walstore.Identity{System: one.Source.System, SegSize: 1 << 20, ServerMajor: one.Source.Major})
	if err != nil {
		t.Fatal(err)
	}
	x.take(3)
	if err := x.store.SetPromised(promised(three.End())); err != nil {
		t.Fatal(err)
	}
	x.restart(true)
	return x
}

// primary is the one whose WAL g is.
func (x *begunBelow) primary(g *walstoretest.Generator) server {
	h := g.History()
	h.Timeline = g.Timeline()
	return server{
		system: g.Source.System, timeline: g.Timeline(), xlogpos: g.End(), seg: 1 << 20, version: 150000,
		endpoint: fmt.Sprintf("db%s:5432", g.Timeline()), history: h,
	}
}

func (x *begunBelow) open(disk *vfs.Mem) {
	var err error
	x.disk = disk
	x.store, err = walstore.Open(x.t.Context(), walstore.Options{Dir: "/data", FS: disk, KeepSize: 1 << 30})
	if err != nil {
		x.t.Fatal(err)
	}
	x.Supply = with(x.t, Options{Store: x.store})
	x.log = slog.New(slog.DiscardHandler)
}

// restart ends the process, after all that came was flushed. emptied: the WAL directory's files are removed meanwhile.
func (x *begunBelow) restart(emptied bool) {
	x.t.Helper()
	ended, end := context.WithCancel(x.t.Context())
	end()
	err := x.store.Run(ended)
	disk := x.disk.Kill()
	names, failed := disk.ReadDir("/data/wal")
	err = errors.Join(err, failed)
	for _, name := range names {
		if emptied {
			err = errors.Join(err, disk.Remove("/data/wal/"+name))
		}
	}
	if err != nil {
		x.t.Fatal(err)
	}
	x.open(disk)
}

// take has the store take all WAL of a timeline of the right server, from the segment in which it begins.
func (x *begunBelow) take(tli lsn.TimelineID) {
	x.t.Helper()
	g := x.wal[tli]
	at := lsn.SegSize(1 << 20).Floor(max(g.Start(), g.History().Begin()))
	if x.own = x.wal[x.right.timeline].HistoryFile(); tli > 1 && tli < x.right.timeline {
		if err := x.store.PutHistory(tli, g.HistoryFile()); err != nil { // mirrorHistories does
			x.t.Fatal(err)
		}
	}
	if err := x.startStream(startPoint{tli, at}, x.right); err != nil {
		x.t.Fatal(err)
	}
	end := g.End()
	if fork, _, left := x.right.history.SwitchPoint(tli); left {
		end = fork
	}
	for _, m := range g.Messages(at, nil) {
		data := m.Data[:min(len(m.Data), int(max(end, m.At)-m.At))]
		if err := x.store.AppendFrom(x.t.Context(), m.At, bytes.NewReader(data), len(data)); err != nil {
			x.t.Fatal(err)
		}
	}
}

// refusal judges a server.
func (x *begunBelow) refusal(srv server) error {
	srv.known = x.knowledge()
	return x.judge(x.store.Positions(), srv)
}

// TestBegunBelowTwoForks: a store is emptied on timeline 3, when it is known how far it had reported, or amid reports. It
// begins anew below one fork or two: the primary's slot is there. It follows the right server all the way, also after a
// restart. Until it has the WAL of timeline 3 again it goes on asking for what it had reported of that.
func TestBegunBelowTwoForks(t *testing.T) {
	for name, promised := range map[string]func(end lsn.LSN) lsn.LSN{
		"known": func(end lsn.LSN) lsn.LSN { return end },
		"amid":  func(lsn.LSN) lsn.LSN { return walstore.PromisedAll },
	} {
		for _, restarts := range []bool{false, true} {
			for begins := lsn.TimelineID(1); begins <= 3; begins++ {
				t.Run(fmt.Sprintf("%s restarts %t from %s", name, restarts, begins), func(t *testing.T) {
					t.Parallel()
					x := newBegunBelow(t, promised)
					// A standby that has less than was reported is promoted by mistake.
					wrong := x.wal[3].Fork(x.wal[2].End(), 4)
					wrong.Fill(x.wal[3].End()+100_000, rand.New(rand.NewPCG(4, 1)))
					look := func(when string) {
						t.Helper()
						if err := x.refusal(x.right); err != nil {
							t.Errorf("%s the right server is refused: %v", when, err)
						}
						if x.refusal(x.primary(wrong)) == nil {
							t.Errorf("%s a server is followed that lacks what was reported", when)
						}
					}
					look("emptied:")
					for tli := begins; tli <= 3; tli++ {
						x.take(tli)
						if look(fmt.Sprintf("with timeline %s:", tli)); restarts {
							x.restart(false)
							look(fmt.Sprintf("restarted with timeline %s:", tli))
						}
					}
					if p := x.store.Promised(); p.Timeline != 3 || p.At != x.wal[3].End() {
						t.Errorf("promised is %s of timeline %s", p.At, p.Timeline)
					}
				})
			}
		}
	}
}
