package walformat_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// dirPages reads pages from a server's pg_wal.
func dirPages(dir string, size lsn.SegSize, tli lsn.TimelineID) walformat.PageFunc {
	files := map[uint64][]byte{}
	return func(at lsn.LSN) ([]byte, error) {
		segno := size.Segno(at)
		b, ok := files[segno]
		if !ok {
			var err error
			b, err = os.ReadFile(filepath.Join(dir, size.FileName(tli, segno)))
			if errors.Is(err, os.ErrNotExist) {
				return nil, io.EOF
			}
			if err != nil {
				return nil, err
			}
			files[segno] = b
		}
		off := size.Offset(at)
		return b[off : off+lsn.PageSize], nil
	}
}

// firstSegment returns the start of the first segment in a server's pg_wal.
func firstSegment(t *testing.T, dir string, size lsn.SegSize) lsn.LSN {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, segno, ok := size.ParseFileName(e.Name()); ok {
			return size.Start(segno)
		}
	}
	t.Fatalf("no segment in %s", dir)
	return 0
}

// TestRealServers walks the WAL of every major, after a crash and after an orderly end, and finds the end that the
// server itself reported. The WAL has full pages, records over many pages, switches, and recycled segments behind the
// end.
func TestRealServers(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"),
			pgtest.Settings("max_wal_size = '8MB'", "wal_keep_size = '256MB'", "fsync = off"))
		srv.Exec(t, "CREATE TABLE t (i int PRIMARY KEY, filler text)")
		for range 3 {
			srv.Exec(t, `INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 3000) i
				ON CONFLICT (i) DO UPDATE SET filler = excluded.filler`)
			srv.Exec(t, "SELECT pg_logical_emit_message(false, 'long', repeat('x', 3000000))")
			srv.Exec(t, "SELECT pg_switch_wal()")
			srv.Exec(t, "CHECKPOINT")
		}
		srv.Exec(t, "UPDATE t SET filler = 'short' WHERE i < 50")
		flushed := srv.CurrentLSN(t)
		srv.Kill9(t)
		walked := walkServer(t, srv, in.Major)
		if walked.Pos() < flushed {
			t.Fatalf("after a crash: walked to %s, the server had flushed %s", walked.Pos(), flushed)
		}
		srv.Start(t)
		srv.Exec(t, "UPDATE t SET filler = 'again' WHERE i < 50")
		srv.Stop(t, pgtest.Fast)
		w := walkServer(t, srv, in.Major)
		last := w.last
		out := in.RunTool(t, "", "pg_controldata", srv.Dir)
		if !strings.Contains(strings.ReplaceAll(out, " ", ""), "Latestcheckpointlocation:"+last.LSN.String()+"\n") ||
			!last.IsShutdownCheckpoint() {
			t.Fatalf("after the end: the last record is %+v\n%s", last, out)
		}
		if !in.HasTools() {
			return // pg_waldump reads its own major only
		}
		dump, err := in.Tool(t, "", "pg_waldump", "-p", srv.WALDir(), "-s", w.first.String(), "-e", w.last.End.String()).Output()
		if err != nil {
			t.Fatalf("pg_waldump: %v", err)
		}
		if n := strings.Count(string(dump), "\n"); n != w.records {
			t.Fatalf("pg_waldump sees %d records, the walk %d", n, w.records)
		}
	})
}

type walked struct {
	*walformat.Walker
	first   lsn.LSN
	last    walformat.Record
	records int
}

func walkServer(t *testing.T, srv *pgtest.Server, major int) walked {
	t.Helper()
	const size = lsn.MinSegSize
	pages := dirPages(srv.WALDir(), size, 1)
	first := firstSegment(t, srv.WALDir(), size)
	page, err := pages(first)
	if err != nil {
		t.Fatal(err)
	}
	h, err := walformat.ParseHeader(page)
	if err != nil {
		t.Fatal(err)
	}
	w := &walformat.Walker{
		Source:   walformat.Source{System: h.System, SegSize: size, Major: major},
		Timeline: 1, Pages: pages,
	}
	start, err := w.Start(first)
	if err != nil {
		t.Fatal(err)
	}
	got := walked{Walker: w, first: start}
	for {
		r, err := w.Next()
		var end *walformat.EndError
		if errors.As(err, &end) {
			t.Logf("%d records from %s: %v", got.records, first, err)
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got.last = r
		got.records++
	}
}
