package walstore

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// bigStore holds eight segments, of which the tail has the last four.
func bigStore(t *testing.T, fsys FS) (*Store, lsn.LSN, lsn.LSN) {
	t.Helper()
	s := openMem(t, fsys)
	g := newGen()
	for g.End() < g.Start()+15<<19 {
		g.Record(2000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	return s, g.Start(), g.End()
}

func TestNextCutsWherePostgreSQLDoes(t *testing.T) {
	s, first, end := bigStore(t, vfs.NewMem())
	const page, mb = lsn.LSN(lsn.PageSize), lsn.LSN(1 << 20)
	cases := []struct {
		name        string
		at, limit   lsn.LSN
		max         int
		end         lsn.LSN
		file, split bool
	}{
		{name: "at the limit", at: end, limit: end, max: 1000, end: end},
		{name: "limit below", at: end, limit: first, max: 1000, end: end},
		{name: "less than a page asked for", at: end - 20*page, limit: end, max: 1, end: (end - 19*page).PageStart()},
		{name: "from inside a page", at: end - 20*page - 8, limit: end, max: 3 * lsn.PageSize, end: (end - 17*page - 8).PageStart()},
		{name: "limit inside a page", at: end - 100, limit: end - 50, max: 1 << 20, end: end - 50},
		{name: "over two blocks", at: 7*mb - page, limit: end, max: 4 * lsn.PageSize, end: 7*mb + 3*page, split: true},
		{name: "over three blocks", at: 6*mb - page, limit: end, max: 4 << 20, end: 7 * mb, split: true},
		{name: "file", at: first + 100, limit: end, max: 16 * lsn.PageSize, end: first + 16*page, file: true},
		{name: "file up to its segment's end", at: 2*mb - page, limit: end, max: 16 * lsn.PageSize, end: 2 * mb, file: true},
		{name: "limit in a file", at: first, limit: first + 77, max: 1 << 20, end: first + 77, file: true},
		{name: "limit far ahead", at: end - 8, limit: end + 99*mb, max: 1 << 20, end: end},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := s.NewReader(1, c.at)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := r.Next(c.limit, c.max)
			if err != nil || got.Start != c.at || got.End != c.end || r.Pos() != c.end {
				t.Fatalf("got [%s, %s), %v; want [%s, %s)", got.Start, got.End, err, c.at, c.end)
			}
			if (got.File != nil) != c.file || (len(got.Mem[1]) > 0) != c.split {
				t.Fatalf("file %v, pieces %d and %d", got.File != nil, len(got.Mem[0]), len(got.Mem[1]))
			}
		})
	}
}

func TestNewReaderRefuses(t *testing.T) {
	s, first, end := bigStore(t, vfs.NewMem())
	if _, err := s.NewReader(1, first-1); !errors.Is(err, ErrRemoved) {
		t.Errorf("before the store began: %v", err)
	}
	if _, err := s.NewReader(2, end); !errors.Is(err, ErrTimeline) {
		t.Errorf("a timeline of the future: %v", err)
	}
	r, err := s.NewReader(1, end+123)
	if err != nil {
		t.Fatalf("ahead of the end: %v", err)
	}
	defer r.Close()
	if c, err := r.Next(end+1000, 1<<20); err != nil || c.Len() != 0 {
		t.Errorf("ahead of the end: [%s, %s), %v", c.Start, c.End, err)
	}
	_ = s.Close()
	if _, err := r.Next(end, 1<<20); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestReadersShareFiles: sixty-four readers of one segment are one open file, verified once, and it
// stays open for the next one.
func TestReadersShareFiles(t *testing.T) {
	fsys := vfs.NewFault(vfs.NewMem())
	s, first, end := bigStore(t, fsys)
	opened := map[string]int{}
	fsys.Set(func(op vfs.Op, name string) error {
		if op == vfs.OpOpen {
			opened[filepath.Base(name)]++
		}
		return nil
	})
	for range 2 {
		var readers []*Reader
		for range 64 {
			r, err := s.NewReader(1, first)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := r.Next(end, 1<<20); err != nil || c.File == nil {
				t.Fatalf("%+v, %v", c, err)
			}
			readers = append(readers, r)
		}
		for _, r := range readers {
			r.Close()
		}
	}
	name := testSeg.FileName(1, 1)
	if opened[name] != 1 || opened[name+digestSuffix] != 1 {
		t.Fatalf("opened %v", opened)
	}
}

// TestIdleFilesAreBounded reads more segments, one after another, than may stay open.
func TestIdleFilesAreBounded(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	g := newGen()
	for g.End() < g.Start()+lsn.LSN(maxIdle+6)<<20 {
		g.Record(30_000)
	}
	begin(t, s, g)
	send(t, s, g, g.Start())
	readAll(t, s, g, 1, g.Start(), g.End())
	for at := g.Start(); at < g.End()-MinTailSize; at += 1 << 20 {
		readAll(t, s, g, 1, at, at+100)
	}
	if n := len(s.segs.open); n != maxIdle || len(s.segs.idle) != maxIdle {
		t.Fatalf("%d files stay open, want %d", n, maxIdle)
	}
	_ = s.Close()
	if n := len(s.segs.open); n != 0 {
		t.Fatalf("%d files are open after Close", n)
	}
}
