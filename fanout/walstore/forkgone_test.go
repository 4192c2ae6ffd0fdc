package walstore

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSegmentOfTheForkIsGone: the segment in which the timeline began is lost, and that of the timeline before is there,
// with the beginning of a record beyond the fork or without. The store ends at the fork, and goes on from there.
func TestSegmentOfTheForkIsGone(t *testing.T) {
	for _, c := range []struct{ beyond, past lsn.LSN }{
		{0, 1000}, {0, 50_000}, {0, 1 << 20}, {5000, 1000}, {40_000, 1000}, {40_000, 50_000}, {5000, 1 << 20},
	} {
		past := c.past
		disk, old := vfs.NewMem(), newGen()
		for old.End() < old.Start()+2<<20+300_000 {
			old.Record(3000)
		}
		fork := old.End()
		g := old.Fork(fork, 2)
		for g.End() < fork+past {
			g.Record(2900)
		}
		old.Record(100_000)
		s := openMem(t, disk)
		begin(t, s, old)
		for at := old.Start(); at < fork+c.beyond; at += min(fork+c.beyond-at, 100_000) {
			appendMessage(t, s, walstoretest.Message{At: at, Data: old.Bytes(at, at+min(fork+c.beyond-at, 100_000))})
			drain(t, s)
		}
		putHistory(t, s, g)
		start(t, s, 2, testSeg.Floor(fork))
		send(t, s, g, testSeg.Floor(fork))
		drain(t, s)
		disk = disk.Kill()
		if err := disk.Remove("/data/wal/" + testSeg.FileName(2, testSeg.Segno(fork))); err != nil {
			t.Fatal(err)
		}
		for life := range 3 {
			s = openMem(t, disk)
			at := testSeg.Floor(s.Positions().Received)
			start(t, s, 2, at)
			send(t, s, g, at)
			drain(t, s)
			if s.Positions().Flushed != g.End() {
				t.Fatalf("%d bytes past the fork, start %d: %+v, want %s", past, life, s.Positions(), g.End())
			}
			if life > 0 {
				readAll(t, s, g, 2, testSeg.Floor(fork), g.End())
			}
			_ = s.Close()
			disk = disk.Kill()
		}
	}
}
