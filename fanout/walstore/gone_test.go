package walstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// goneStore has nine segments, the oldest two removed by retention, the last one not complete.
func goneStore(t *testing.T) (*vfs.Mem, *Store, *walstoretest.Generator) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys, func(o *Options) { o.KeepSize = 7<<20 - 1000 })
	g := newGen()
	g.Fill(g.Start()+8<<20+300_000, rand.New(rand.NewPCG(3, 3)))
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	return fsys, s, g
}

// TestSegmentFilesGone: segment files that somebody removes are damage that is fetched, with or without their sidecars,
// while the store runs or while it is stopped. They make no hole below which slots are lost, and nobody gets other
// bytes for them. Segments that retention removed are not looked for.
func TestSegmentFilesGone(t *testing.T) {
	name := func(i uint64, suffix string) string { return "/data/wal/" + testSeg.FileName(1, i) + suffix }
	for what, c := range map[string]struct {
		gone     []uint64
		sidecars bool
		running  bool
		noNote   bool // as of an older release
	}{
		"one":                        {gone: []uint64{5}},
		"one while it runs":          {gone: []uint64{5}, running: true},
		"the newest sealed":          {gone: []uint64{8}},
		"the newest sealed running":  {gone: []uint64{8}, running: true},
		"several with sidecars":      {gone: []uint64{4, 5, 7}, sidecars: true},
		"several running":            {gone: []uint64{4, 5, 7}, sidecars: true, running: true},
		"the oldest":                 {gone: []uint64{3}, sidecars: true},
		"of an older release":        {gone: []uint64{4, 6}, noNote: true},
		"all that are sealed, again": {gone: []uint64{3, 4, 5, 6, 7, 8}, sidecars: true},
	} {
		t.Run(what, func(t *testing.T) {
			fsys, s, g := goneStore(t)
			oldest := s.Positions().Oldest
			if oldest <= g.Start() {
				t.Fatalf("nothing was removed: %+v", s.Positions())
			}
			if !c.running {
				_ = s.Close()
			} else {
				s.segs.closeUnused()
			}
			for _, i := range c.gone {
				if i < testSeg.Segno(oldest) {
					continue
				}
				remove := []string{""}
				if c.sidecars {
					remove = append(remove, digestSuffix)
				}
				for _, suffix := range remove {
					if err := fsys.Remove(name(i, suffix)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.noNote {
				if err := fsys.Remove("/data/wal/" + oldestName); err != nil {
					t.Fatal(err)
				}
			}
			if !c.running {
				s = openMem(t, fsys, func(o *Options) { o.KeepSize = 7<<20 - 1000 })
			}
			if p := s.Positions(); p.Oldest != oldest || p.Received != g.End() {
				t.Fatalf("positions %+v, the oldest was %s", p, oldest)
			}
			r, err := s.NewPatientReader(1, oldest)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			fetched := 0
			for r.Pos() < g.End() {
				at := r.Pos()
				chunk, err := r.Next(g.End(), 100_000)
				if errors.Is(err, ErrDamaged) && fetched < len(c.gone) {
					if err := importOf(t, s, g, at); err != nil {
						t.Fatal(err)
					}
					fetched++
					continue
				}
				if err != nil {
					t.Fatalf("at %s: %v", at, err)
				}
				b, err := chunk.Bytes(make([]byte, chunk.Len()))
				if err != nil || !bytes.Equal(b, g.Bytes(chunk.Start, chunk.End)) {
					t.Fatalf("at %s: other bytes, %v", at, err)
				}
			}
			if fetched == 0 && testSeg.Start(c.gone[len(c.gone)-1]+1) <= s.tail.low {
				t.Error("nothing had to be fetched")
			}
			s.SetKeepSize(0) // and it can be removed
			r.Close()
			if err := s.housekeepingStep(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSegmentCutWhileRead: a file that is cut after it was verified is damage, not the end of a message.
func TestSegmentCutWhileRead(t *testing.T) {
	fsys, s, g := goneStore(t)
	at := testSeg.Start(4)
	r, err := s.NewPatientReader(1, at)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(g.End(), 100_000); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Create("/data/wal/" + testSeg.FileName(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := r.Next(g.End(), 100_000); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	if err := s.Check(segmentAt(t, s, at)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("it still passes for whole: %v", err)
	}
	if err := importOf(t, s, g, at); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, g, 1, at, at+lsn.LSN(testSeg))
}

// TestHistoryFileGone: a history file that somebody removed is made anew, from memory or from its copy.
func TestHistoryFileGone(t *testing.T) {
	for _, gone := range []string{"/data/wal/00000002.history", "/data/wal/00000002.history.copy"} {
		fsys := vfs.NewMem()
		s := openMem(t, fsys)
		old := newGen()
		fork := old.Record(3000).End
		g := old.Fork(fork, 2)
		g.Fill(g.End()+1<<20, rand.New(rand.NewPCG(3, 3)))
		begin(t, s, old)
		send(t, s, old, old.Start())
		putHistory(t, s, g)
		start(t, s, 2, testSeg.Floor(fork))
		store(t, s, g, testSeg.Floor(fork))
		there := func() {
			t.Helper()
			b, err := vfs.ReadFile(fsys, gone, 1000)
			if err != nil || !bytes.Equal(b, g.HistoryFile()) {
				t.Fatalf("%s: %q, %v", gone, b, err)
			}
		}
		there()
		if err := fsys.Remove(gone); err != nil {
			t.Fatal(err)
		}
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		there()
		_ = s.Close()
		if err := fsys.Remove(gone); err != nil {
			t.Fatal(err)
		}
		s = openMem(t, fsys)
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		there()
		if p := s.Positions(); p.Timeline != 2 || p.Received != g.End() {
			t.Fatalf("%+v", p)
		}
	}
}
