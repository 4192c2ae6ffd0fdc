package walstore

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestRemovable(t *testing.T) {
	const mb = lsn.LSN(1 << 20)
	all := []segKey{{1, 5}, {1, 3}, {2, 5}, {1, 4}, {2, 6}, {2, 7}, {2, 8}}
	base := func() retention {
		return retention{segSize: testSeg, segments: all, received: 9*mb + 100, mark: 9*mb + 50}
	}
	cases := []struct {
		name   string
		change func(*retention)
		want   []segKey
	}{
		{"nobody needs any", func(*retention) {},
			[]segKey{{1, 3}, {1, 4}, {1, 5}, {2, 5}, {2, 6}, {2, 7}, {2, 8}}},
		{"the mark on a boundary keeps the segment before it", func(r *retention) { r.mark = 9 * mb },
			[]segKey{{1, 3}, {1, 4}, {1, 5}, {2, 5}, {2, 6}, {2, 7}}},
		{"a reader", func(r *retention) { r.readers = []lsn.LSN{9 * mb, 6*mb + 1} },
			[]segKey{{1, 3}, {1, 4}, {1, 5}, {2, 5}}},
		{"a slot", func(r *retention) { r.slots = 5*mb - 1 }, []segKey{{1, 3}}},
		{"a slot at a segment start", func(r *retention) { r.slots = 5 * mb }, []segKey{{1, 3}, {1, 4}}},
		{"keep size", func(r *retention) { r.keepSize = int64(2 * mb) },
			[]segKey{{1, 3}, {1, 4}, {1, 5}, {2, 5}, {2, 6}}},
		{"keep size above all", func(r *retention) { r.keepSize = 1 << 40 }, nil},
		{"a mark that lags", func(r *retention) { r.mark = 4*mb + 8 }, []segKey{{1, 3}}},
		{"no mark", func(r *retention) { r.mark = 0 }, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := base()
			c.change(&r)
			if got := r.removable(); !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRetentionOfAStore(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys, func(o *Options) { o.KeepSize = 0 })
	g := newGen()
	g.Fill(g.Start()+10<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	slot := lsn.LSN(0)
	s.SetRetention(func() lsn.LSN { return slot })
	r, err := s.NewReader(1, g.Start()+2<<20+77)
	if err != nil {
		t.Fatal(err)
	}
	store(t, s, g, g.Start())
	step := func(oldest lsn.LSN) {
		t.Helper()
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		if got := s.Positions().Oldest; got != oldest {
			t.Fatalf("oldest %s, want %s", got, oldest)
		}
		readAll(t, s, g, 1, oldest, g.End())
	}
	step(g.Start() + 2<<20)
	if _, err := s.NewReader(1, g.Start()+1<<20+5); !errors.Is(err, ErrRemoved) ||
		err.Error() != "requested WAL segment 000000010000000000000002 has already been removed" {
		t.Fatalf("reader of removed WAL: %v", err)
	}
	if c, err := r.Next(g.End(), 1<<20); err != nil || c.Len() == 0 {
		t.Fatalf("the reader that held it back: %v", err)
	}
	step(g.Start() + 2<<20) // the chunk is still in use
	slot = g.Start() + 4<<20 + 1
	if c, err := r.Next(g.End(), 8<<20); err != nil || c.Len() == 0 {
		t.Fatal(err)
	}
	r.Close()
	r.Close() // harmless
	s.SetKeepSize(8 << 20)
	step(g.Start() + 2<<20)
	s.SetKeepSize(0)
	step(g.Start() + 4<<20)
	slot = 0
	step(testSeg.Floor(g.End() - 1))
	names, _ := fsys.ReadDir("/data/wal")
	spares := 0
	for _, name := range names {
		if isSpare(name) {
			spares++
		}
		if strings.HasSuffix(name, digestSuffix) && !slices.Contains(names, strings.TrimSuffix(name, digestSuffix)) {
			t.Errorf("a digest outlived its segment: %s", name)
		}
	}
	if spares < spareTarget(testSeg) || spares > maxRecycled {
		t.Fatalf("%d spare segments: %v", spares, names)
	}
	s = reopen(t, s, fsys)
	readAll(t, s, g, 1, s.Positions().Oldest, g.End())
}

// TestOldestWaitsForRemoval: who asks while a removal goes on is told what it leaves.
func TestOldestWaitsForRemoval(t *testing.T) {
	s := openMem(t, vfs.NewMem(), func(o *Options) { o.KeepSize = 0 })
	g := newGen()
	g.Fill(g.Start()+10<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	store(t, s, g, g.Start())
	answer := make(chan lsn.LSN, 1)
	s.SetRetention(func() lsn.LSN {
		go func() { answer <- s.Oldest() }()
		for range 1000 {
			runtime.Gosched() // it would have answered by now
		}
		return lsn.Invalid
	})
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	if got, want := <-answer, s.Positions().Oldest; got != want || want == g.Start() {
		t.Fatalf("told %s, and %s was the oldest", got, want)
	}
}

// TestRecycledSegmentsHideNothing: WAL goes on in files full of old WAL, is cut off by a crash at
// every stage, and the old WAL never shows.
func TestRecycledSegmentsHideNothing(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys, func(o *Options) { o.KeepSize = 0 })
	g := newGen()
	g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.housekeepingStep(); err != nil { // recycles
		t.Fatal(err)
	}
	at := g.End()
	for i := range 8 {
		g.Record(i * 9000)
		send(t, s, g, at)
		at = g.End()
		if i%2 == 0 {
			drain(t, s)
		}
		other := openMem(t, fsys.Kill())
		if got := other.Positions().Received; got != g.End() {
			t.Fatalf("round %d: recovered %s, want %s", i, got, g.End())
		}
		_ = other.Close()
		fsys = vfs.NewMem()
		s = openMem(t, fsys, func(o *Options) { o.KeepSize = 0 })
		begin(t, s, g)
		store(t, s, g, g.Start())
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
	}
}
