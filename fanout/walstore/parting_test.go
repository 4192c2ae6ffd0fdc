package walstore

import (
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// rmgrXact is the resource manager of transactions; the info values of its records are PostgreSQL's XLOG_XACT_*.
const rmgrXact = 1

// xact appends a record of rmgrXact.
func xact(g *walstoretest.Generator, info uint8, size int) walformat.Record {
	return g.Append(walformat.Record{Rmgr: rmgrXact, Info: info, XID: 700}, walstoretest.MainData(make([]byte, size)))
}

// atPlaces plays a test with WAL in memory, on disk, and on disk after a restart.
func atPlaces(t *testing.T, g *walstoretest.Generator, play func(t *testing.T, s *Store)) {
	t.Helper()
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	begin(t, s, g)
	send(t, s, g, g.Start())
	t.Run("received", func(t *testing.T) { play(t, s) })
	drain(t, s)
	s = reopen(t, s, fsys)
	t.Run("stored", func(t *testing.T) { play(t, s) })
}

// TestDated: only the end of a transaction, as a record that begins and ends within the stretch, has a time that no
// other history has.
func TestDated(t *testing.T) {
	const info = 0x80 // XLOG_XACT_HAS_INFO
	for name, c := range map[string]struct {
		record func(g *walstoretest.Generator) walformat.Record
		dated  bool
	}{
		"a commit":           {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x00, 20) }, true},
		"a commit with more": {func(g *walstoretest.Generator) walformat.Record { return xact(g, info, 200) }, true},
		"an abort":           {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x20, 20) }, true},
		"a commit in two":    {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x30|info, 20) }, true},
		"an abort in two":    {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x40|info, 20) }, true},
		"a long commit":      {func(g *walstoretest.Generator) walformat.Record { return xact(g, info, 5*lsn.PageSize) }, true},
		"a prepare":          {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x10, 20) }, false},
		"an assignment":      {func(g *walstoretest.Generator) walformat.Record { return xact(g, 0x50, 20) }, false},
		"no transaction's":   {func(g *walstoretest.Generator) walformat.Record { return g.Record(20) }, false},
		"a shutdown":         {(*walstoretest.Generator).ShutdownCheckpoint, false},
		"another manager's": {func(g *walstoretest.Generator) walformat.Record {
			return g.Append(walformat.Record{Rmgr: 10}, walstoretest.MainData([]byte("insert")))
		}, false},
		"a switch of segments": {(*walstoretest.Generator).Switch, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGen()
			xact(g, 0, 20)
			for next := g.Start() + lsn.LSN(testSeg); g.End() < next+1000; {
				g.Record(100)
			}
			r := c.record(g)
			g.Record(30)
			atPlaces(t, g, func(t *testing.T, s *Store) {
				from := testSeg.Floor(r.LSN)
				for to, want := range map[lsn.LSN]bool{r.LSN: false, r.End - 8: false, r.End: c.dated, g.End(): c.dated} {
					if got, err := s.Dated(from, to); err != nil || got != want {
						t.Errorf("up to %s of [%s, %s): %t, %v", to, r.LSN, r.End, got, err)
					}
				}
			})
		})
	}
}

// TestDatedBeginsBefore: a record of which the stretch has the end only says nothing, and the next one is found.
func TestDatedBeginsBefore(t *testing.T) {
	for after, want := range map[string]bool{"nothing": false, "a commit": true, "an abandoned record": true} {
		t.Run(after, func(t *testing.T) {
			g := newGen()
			boundary := testSeg.Floor(g.Start()) + lsn.LSN(testSeg)
			for boundary-g.End() > 2000 {
				g.Record(100)
			}
			if xact(g, 0x80, 3*lsn.PageSize); g.End() < boundary {
				t.Fatalf("%s is before %s", g.End(), boundary)
			}
			switch after {
			case "an abandoned record":
				g.Broken(2)
				fallthrough
			case "a commit":
				xact(g, 0, 20)
			}
			g.Record(30)
			atPlaces(t, g, func(t *testing.T, s *Store) {
				if got, err := s.Dated(boundary, g.End()); err != nil || got != want {
					t.Errorf("%t, %v", got, err)
				}
			})
		})
	}
}

// TestDatedAcrossTimelines: in the segment where a timeline begins, a transaction may have ended on the one before.
func TestDatedAcrossTimelines(t *testing.T) {
	for name, c := range map[string]struct{ before, after, dated bool }{
		"before": {true, false, true}, "after": {false, true, true}, "neither": {false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			base := newGen()
			base.Record(100)
			if c.before {
				xact(base, 0, 20)
			}
			base.Record(100)
			g := base.Fork(base.End(), 2)
			if g.Record(100); c.after {
				xact(g, 0, 20)
			}
			g.Record(100)
			s := openMem(t, vfs.NewMem())
			begin(t, s, base)
			send(t, s, base, base.Start())
			putHistory(t, s, g)
			start(t, s, 2, base.Start())
			send(t, s, g, base.Start())
			if got, err := s.Dated(testSeg.Floor(base.Start()), g.End()); err != nil || got != c.dated {
				t.Errorf("%t, %v", got, err)
			}
			sent := append([]byte(nil), g.Bytes(g.Start(), g.End())...)
			if d, differs, err := s.Difference(g.Start(), sent); err != nil || differs {
				t.Errorf("equal WAL of two timelines differs at %s, %v", d, err)
			}
			for _, at := range []lsn.LSN{base.End() - 50, base.End(), base.End() + 50} {
				sent[at-g.Start()]++
				if d, differs, err := s.Difference(g.Start(), sent); err != nil || !differs || d != at {
					t.Errorf("at %s: %s, %t, %v", at, d, differs, err)
				}
				sent[at-g.Start()]--
			}
		})
	}
}

// TestDifference: the first byte that is another one, wherever the stretch begins and ends, but not behind an
// XLOG_SWITCH, where PostgreSQL reads nothing.
func TestDifference(t *testing.T) {
	g := newGen()
	rnd := rand.New(rand.NewPCG(1, 7))
	for g.End() < g.Start()+lsn.LSN(testSeg)/4 {
		g.Record(1 + rnd.IntN(3000))
	}
	last := g.Switch()
	next := testSeg.Floor(last.LSN) + lsn.LSN(testSeg) // where WAL goes on
	for g.End() < next+100000 {
		g.Record(1 + rnd.IntN(3000))
	}
	const none = lsn.Invalid
	for name, c := range map[string]struct {
		from, to lsn.LSN
		changed  []lsn.LSN
		want     lsn.LSN // none: nothing differs
	}{
		"nothing":                   {next + 77, next + 77, nil, none},
		"all is the same":           {g.Start(), g.End(), nil, none},
		"the first byte":            {next + 77, g.End(), []lsn.LSN{next + 77}, next + 77},
		"the last byte":             {g.Start(), g.End(), []lsn.LSN{g.End() - 1}, g.End() - 1},
		"the first of many":         {next, next + 50000, []lsn.LSN{next + 9000, next + 9001, next + 40000}, next + 9000},
		"a page's header":           {next, g.End(), []lsn.LSN{next + 2*lsn.PageSize + 2}, next + 2*lsn.PageSize + 2},
		"the switch itself":         {g.Start(), g.End(), []lsn.LSN{last.LSN + 2}, last.LSN + 2},
		"behind a switch":           {g.Start(), g.End(), []lsn.LSN{last.End, last.End + 1, next - 1}, none},
		"wholly behind it":          {last.End + 10, next - 10, []lsn.LSN{last.End + 20, next - 11}, none},
		"behind it, and then WAL":   {g.Start(), g.End(), []lsn.LSN{last.End + 1, next + 5000}, next + 5000},
		"behind it, up to WAL":      {last.End, next, []lsn.LSN{last.End + 1}, none},
		"the first byte of a file":  {last.End, g.End(), []lsn.LSN{last.End + 1, next}, next},
		"before a switch and after": {g.Start(), g.End(), []lsn.LSN{g.Start() + 100, next + 1}, g.Start() + 100},
	} {
		t.Run(name, func(t *testing.T) {
			sent := append([]byte(nil), g.Bytes(c.from, c.to)...)
			for _, at := range c.changed {
				sent[at-c.from] ^= 0x5a
			}
			atPlaces(t, g, func(t *testing.T, s *Store) {
				d, differs, err := s.Difference(c.from, sent)
				if err != nil || differs != (c.want != none) || differs && d != c.want {
					t.Errorf("%s, %t, %v, want %s", d, differs, err, c.want)
				}
			})
		})
	}
}

// TestPartingOfNothing: what is not stored is an error, never the same.
func TestPartingOfNothing(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+lsn.LSN(testSeg), rand.New(rand.NewPCG(1, 1)))
	atPlaces(t, g, func(t *testing.T, s *Store) {
		for _, at := range []lsn.LSN{g.Start() - lsn.LSN(testSeg), g.End() - 10, g.End() + 100} {
			if d, differs, err := s.Difference(at, make([]byte, 100)); err == nil {
				t.Errorf("at %s, of %s: %s, %t", at, g.End(), d, differs)
			}
		}
		if dated, err := s.Dated(testSeg.Floor(g.Start())-lsn.LSN(testSeg), g.End()); err == nil {
			t.Errorf("WAL that is gone: %t", dated)
		}
	})
}
