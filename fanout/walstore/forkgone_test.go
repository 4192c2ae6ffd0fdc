package walstore

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSegmentOfTheForkIsGone: the segment in which the timeline began is lost, and that of the timeline before is there.
// The store ends at the fork, and goes on from there.
func TestSegmentOfTheForkIsGone(t *testing.T) {
	for _, past := range []lsn.LSN{1000, 50_000, 1 << 20} {
		disk, old := vfs.NewMem(), newGen()
		for old.End() < old.Start()+2<<20+300_000 {
			old.Record(3000)
		}
		g := old.Fork(old.End(), 2)
		for g.End() < old.End()+past {
			g.Record(3000)
		}
		s := openMem(t, disk)
		begin(t, s, old)
		send(t, s, old, old.Start())
		drain(t, s)
		putHistory(t, s, g)
		start(t, s, 2, testSeg.Floor(old.End()))
		send(t, s, g, testSeg.Floor(old.End()))
		drain(t, s)
		disk = disk.Kill()
		if err := disk.Remove("/data/wal/" + testSeg.FileName(2, testSeg.Segno(old.End()))); err != nil {
			t.Fatal(err)
		}
		for life := range 3 {
			s = openMem(t, disk)
			at := testSeg.Floor(s.Positions().Received)
			start(t, s, 2, at)
			send(t, s, g, at)
			drain(t, s)
			if s.Positions().Flushed != g.End() {
				t.Fatalf("%s beyond the fork, start %d: %+v, want %s", past, life, s.Positions(), g.End())
			}
			if life > 0 {
				readAll(t, s, g, 2, testSeg.Floor(old.End()), g.End())
			}
			_ = s.Close()
			disk = disk.Kill()
		}
	}
}
