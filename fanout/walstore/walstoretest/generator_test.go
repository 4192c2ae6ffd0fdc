package walstoretest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func memPages(g *Generator) walformat.PageFunc {
	return func(at lsn.LSN) ([]byte, error) {
		if at < g.Start() || at >= g.End() {
			return nil, io.EOF
		}
		page := make([]byte, lsn.PageSize)
		copy(page, g.Bytes(at, min(g.End(), at+lsn.PageSize)))
		return page, nil
	}
}

// TestWalkerReadsGenerated walks everything that a Generator can make, for every major and several
// segment sizes, and finds the same records.
func TestWalkerReadsGenerated(t *testing.T) {
	for major := 14; major <= 18; major++ {
		for _, size := range []lsn.SegSize{1 << 20, 2 << 20} {
			rnd := rand.New(rand.NewPCG(uint64(major), uint64(size)))
			g := New(Config{Major: major, SegSize: size})
			g.Fill(g.Start()+lsn.LSN(size)*3, rnd)
			f := g.Fork(g.Records()[len(g.Records())/2].End, 3)
			f.Fill(f.End()+lsn.LSN(size), rnd)
			for _, g := range []*Generator{g, f} {
				w := walformat.Walker{Source: g.Source, Timeline: g.Timeline(), Pages: memPages(g)}
				if at, err := w.Start(g.Start()); err != nil || at != g.Start() {
					t.Fatalf("Start: %s, %v", at, err)
				}
				for i, want := range g.Records() {
					got, err := w.Next()
					if err != nil || got != want {
						t.Fatalf("record %d: got %+v, %v, want %+v", i, got, err, want)
					}
				}
				if r, err := w.Next(); err == nil {
					t.Fatalf("a record too many: %+v", r)
				}
				if w.Pos() != g.End() {
					t.Fatalf("walk ended at %s, want %s", w.Pos(), g.End())
				}
			}
		}
	}
}

// TestWaldumpReadsGenerated lets PostgreSQL's own reader find the last record.
func TestWaldumpReadsGenerated(t *testing.T) {
	const waldump = "/usr/lib/postgresql/15/bin/pg_waldump"
	if _, err := os.Stat(waldump); err != nil {
		t.Fatalf("pg_waldump 15 is missing, run .ci/run: %v", err)
	}
	for _, size := range []lsn.SegSize{1 << 20, lsn.DefaultSegSize} {
		g := New(Config{Major: 15, SegSize: size})
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		g.Fill(g.Start()+3<<20, rnd)
		g.Switch()
		g.Record(100_000)
		g.Broken(2)
		g.Record(10)
		dir := t.TempDir()
		writeSegments(t, g, dir)
		var complaint bytes.Buffer
		cmd := exec.Command(waldump, "--path", dir, "--start", g.Start().String())
		cmd.Stderr = &complaint
		out, _ := cmd.Output() // it always complains about the end
		lines := bytes.Count(out, []byte("\n"))
		if lines != len(g.Records()) {
			t.Fatalf("pg_waldump sees %d records, want %d: %s", lines, len(g.Records()), &complaint)
		}
		last := g.Records()[len(g.Records())-1]
		if !bytes.Contains(out, []byte(waldumpLSN(last.LSN))) {
			t.Fatalf("pg_waldump does not see the last record %s", last.LSN)
		}
	}
}

// waldumpLSN spells a position as pg_waldump 15 does: the lower half padded.
func waldumpLSN(l lsn.LSN) string {
	hi, lo, _ := strings.Cut(l.String(), "/")
	return "lsn: " + hi + "/" + strings.Repeat("0", 8-len(lo)) + lo
}

func writeSegments(t *testing.T, g *Generator, dir string) {
	t.Helper()
	size := g.Source.SegSize
	for at := g.Start(); at < g.End(); at += lsn.LSN(size) {
		b := make([]byte, size)
		copy(b, g.Bytes(at, min(g.End(), at+lsn.LSN(size))))
		name := size.FileName(g.Timeline(), size.Segno(at))
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
