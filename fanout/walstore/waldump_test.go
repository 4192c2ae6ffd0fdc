package walstore

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestPostgreSQLReadsTheDirectory: on a real disk, among mark, digests, spare segments and histories,
// pg_waldump finds every record of both timelines.
func TestPostgreSQLReadsTheDirectory(t *testing.T) {
	const waldump = "/usr/lib/postgresql/15/bin/pg_waldump"
	if _, err := os.Stat(waldump); err != nil {
		t.Fatalf("pg_waldump 15 is missing, run .ci/run: %v", err)
	}
	dir := t.TempDir()
	s, err := Open(context.Background(), Options{Dir: dir, KeepSize: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	stop := run(t, s)
	rnd := rand.New(rand.NewPCG(1, 1))
	old := walstoretest.New(walstoretest.Config{SegSize: testSeg, Start: 0xFF000000}) // the name's middle part changes
	old.Fill(old.Start()+3<<20, rnd)
	begin(t, s, old)
	for _, m := range old.Messages(old.Start(), rnd) {
		appendMessage(t, s, m)
	}
	g := old.Fork(old.End(), 2)
	g.Fill(0x1_0020_0000, rnd)
	putHistory(t, s, g)
	at := testSeg.Floor(old.End())
	start(t, s, 2, at)
	for _, m := range g.Messages(at, rnd) {
		appendMessage(t, s, m)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	records := func(tli lsn.TimelineID, from, to lsn.LSN) int {
		t.Helper()
		var complaint bytes.Buffer
		cmd := exec.Command(waldump, "-p", filepath.Join(dir, walDirName), "-t", tli.String(), "-s", from.String(), "-e", to.String())
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("pg_waldump: %v: %s", err, &complaint)
		}
		return bytes.Count(out, []byte("\n"))
	}
	if got := records(1, old.Start(), old.End()); got != len(old.Records()) {
		t.Errorf("timeline 1: %d records, want %d", got, len(old.Records()))
	}
	first, want := lsn.LSN(0), 0 // the first record that begins in the copied segment
	for _, r := range g.Records() {
		if r.LSN >= at && first == 0 {
			first = r.LSN
		}
		if r.LSN >= at {
			want++
		}
	}
	if got := records(2, first, g.End()); got != want {
		t.Errorf("timeline 2: %d records, want %d", got, want)
	}
}
