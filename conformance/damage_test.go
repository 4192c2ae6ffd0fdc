package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestDamagedWhileStopped: what a stopped proxy had reported flushed is damaged in the segment that was
// being written and in a complete one. It starts, has the first sent again and the second fetched when a
// standby wants it, and nobody gets a wrong byte.
func TestDamagedWhileStopped(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	s := newSleeper(t, in, "  keep_size: 1GB\n", "wal_keep_size = 2GB")
	attached := standbyOf(t, s.primary, s.proxy, "attached", "")
	load := startLoad(t, s.primary)
	size := s.primary.SegSize(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a half-full segment some segments later", func() (bool, error) {
		load.waitCommits(t, 20)
		at := s.primary.CurrentLSN(t)
		off := size.Offset(at)
		return at > s.at+5<<20 && off > int64(size)/3 && off < int64(size)/2, nil
	})
	if code := s.proxy.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	end := stored(t, s.primary)
	spoil(t, s.proxy, size, size.Floor(end-1)+lsn.LSN(size.Offset(end-1)/2))
	spoil(t, s.proxy, size, size.Floor(s.at)+3<<20+500_000)
	load.waitCommits(t, 50)
	s.proxy.Start(t)
	logged(t, "the proxy", s.proxy.Log, "stored WAL is damaged: it is neither served nor counted")
	logged(t, "the proxy", s.proxy.Log, "the damaged WAL was received again")
	load.stopLoad(t)
	pgtest.WaitCaughtUp(t, s.primary, attached)
	pgtest.EqualData(t, s.primary, attached)
	b := s.wake(t)
	if b.Damaged != 1 || b.Segments != 1 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	s.verifySegments(t, s.proxy)
	if st := status(t, s.proxy).Store; st.RepairTo != 0 {
		t.Errorf("still repairing: %+v", st)
	}
}

// stored is what the proxy, which is stopped, told the primary's slot that it had flushed.
func stored(t *testing.T, primary *pgtest.Server) lsn.LSN {
	t.Helper()
	at, err := lsn.Parse(primary.Scalar(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical'"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// spoil changes 64 bytes of a stopped proxy's WAL: at least one of them belongs to a record.
func spoil(t *testing.T, proxy *pgtest.Proxy, size lsn.SegSize, at lsn.LSN) {
	t.Helper()
	name := filepath.Join(proxy.DataDir, "wal", size.FileName(1, size.Segno(at)))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [64]byte
	if _, err := f.ReadAt(b[:], size.Offset(at)); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x55
	}
	if _, err := f.WriteAt(b[:], size.Offset(at)); err != nil {
		t.Fatal(err)
	}
}
