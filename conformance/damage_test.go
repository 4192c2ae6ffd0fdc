package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestDamagedWhileStopped: what a stopped proxy had reported flushed is damaged in the segment that was
// being written and in a complete one. It starts, has the first sent again and the second fetched when a
// standby wants it, and nobody gets a wrong byte.
func TestDamagedWhileStopped(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
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

// TestDamageRestoredFromArchive: what a stopped proxy had reported flushed is damaged in the segment that
// was being written, and the primary has removed it meanwhile. As long as nobody has it that is said, and
// nothing is skipped; then it comes from the archive, and the stream goes on behind it.
func TestDamageRestoredFromArchive(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	archive := in.TempDir(t)
	s := newSleeper(t, in, fmt.Sprintf("  restore_command: \"cp '%s/%%f' '%%p'\"\n", archive),
		"wal_keep_size = 0", "max_wal_size = 4MB", "archive_mode = on", "archive_command = 'cp %p "+archive+"/%f'")
	standby := standbyOf(t, s.primary, s.proxy, "attached", "")
	size := s.primary.SegSize(t)
	for off := int64(0); off < int64(size)/3 || off > int64(size)/2; off = size.Offset(s.primary.CurrentLSN(t)) {
		s.primary.Exec(t, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 50000))")
	}
	pgtest.WaitCaughtUp(t, s.primary, standby)
	if code := s.proxy.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	end := stored(t, s.primary)
	spoil(t, s.proxy, size, size.Floor(end-1)+lsn.LSN(size.Offset(end-1)/2))
	s.primary.Exec(t, "SELECT pg_drop_replication_slot('replproxy_proxy')")
	fill(t, s.primary, 20)
	forgets(t, s.primary, end)
	away := archive + ".away"
	rename(t, archive, away)
	s.proxy.StartNoWait(t)
	logged(t, "the proxy", s.proxy.Log, "where the store ends; nothing is skipped: name an archive")
	logged(t, "the proxy", s.proxy.Log, "restore_command: restore "+size.FileName(1, size.Segno(end-1)))
	st := status(t, s.proxy)
	if st.Store.RepairTo < end || st.Store.Flushed >= end || !strings.Contains(st.Upstream.LastError, "restore_command: ") {
		t.Errorf("while nobody has it: %+v, %+v", st.Store, st.Upstream)
	}
	rename(t, away, archive)
	logged(t, "the proxy", s.proxy.Log, "WAL that the upstream has removed was restored from the archive")
	logged(t, "the proxy", s.proxy.Log, "the damaged WAL was received again")
	s.proxy.WaitReady(t)
	s.verify(t, standby)
	if st := status(t, s.proxy).Store; st.RepairTo != 0 {
		t.Errorf("still repairing: %+v", st)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
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
