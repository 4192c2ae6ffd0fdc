package crash

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSegmentFilesGone: somebody removes segment files of a store, while the proxy runs and while it is stopped, one of
// them the newest complete one. A standby that needs them gets them, fetched from the primary, and its slot, which
// is below, is not lost.
func TestSegmentFilesGone(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 1GB", "max_wal_size = 1GB"))
	s.CreateSlot(t, "keepme")
	standby := s.Standby(t, "s1", "keepme")
	pgtest.WaitCaughtUp(t, s.Primary, standby)
	standby.Stop(t, pgtest.Fast)
	size := s.Primary.SegSize(t)
	from := s.Primary.CurrentLSN(t)
	scene.Fill(t, s.Primary, 8)
	s.Primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	end := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to have it", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Flushed >= end, nil
	})
	remove := func(at lsn.LSN, suffix string) {
		t.Helper()
		name := filepath.Join(s.Proxy.DataDir, "wal", size.FileName(1, size.Segno(at))+suffix)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	mb := lsn.LSN(size)
	digest := filepath.Join(s.Proxy.DataDir, "wal", size.FileName(1, size.Segno(from+4*mb))+".xxh")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a digest", func() (bool, error) {
		_, err := os.Stat(digest)
		return err == nil, nil
	})
	if code := s.Proxy.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	remove(from+3*mb, "")
	remove(from+4*mb, "")
	remove(from+4*mb, ".xxh")
	remove(end-mb, "")
	s.Proxy.Start(t)
	remove(from+2*mb, "")
	if row := scene.ProxySlot(t, s.Proxy, "keepme"); row.Status == "lost" || row.Restart == 0 {
		t.Errorf("the slot is %+v", row)
	}
	standby.Start(t)
	s.Verify(t, standby)
	if b := scene.Status(t, s.Proxy).Backfill; b.Segments != 4 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
}
