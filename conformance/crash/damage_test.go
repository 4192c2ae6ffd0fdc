package crash

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestDamagedWhileStopped: what a stopped proxy had reported flushed is damaged in the segment that was
// being written and in a complete one. It starts, has the first sent again and the second fetched when a
// standby wants it, and nobody gets a wrong byte.
func TestDamagedWhileStopped(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSleeper(t, in, "  keep_size: 1GB\n", "wal_keep_size = 2GB")
	attached := scene.StandbyOf(t, s.Primary, s.Proxy, "attached", "")
	load := scene.StartLoad(t, s.Primary)
	size := s.Primary.SegSize(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a half-full segment some segments later", func() (bool, error) {
		load.WaitCommits(t, 20)
		at := s.Primary.CurrentLSN(t)
		off := size.Offset(at)
		return at > s.At+5<<20 && off > int64(size)/3 && off < int64(size)/2, nil
	})
	if code := s.Proxy.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	end := stored(t, s.Primary)
	scene.Spoil(t, s.Proxy, size, size.Floor(end-1)+lsn.LSN(size.Offset(end-1)/2))
	scene.Spoil(t, s.Proxy, size, size.Floor(s.At)+3<<20+500_000)
	load.WaitCommits(t, 50)
	s.Proxy.Start(t)
	scene.Logged(t, "the proxy", s.Proxy.Log, "stored WAL is damaged: it is neither served nor counted")
	scene.Logged(t, "the proxy", s.Proxy.Log, "the WAL that was owed was received again")
	load.StopLoad(t)
	pgtest.WaitCaughtUp(t, s.Primary, attached)
	pgtest.EqualData(t, s.Primary, attached)
	b := s.Wake(t)
	if b.Damaged != 1 || b.Segments != 1 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	s.VerifySegments(t, s.Proxy)
	if st := scene.Status(t, s.Proxy).Store; st.RepairTo != 0 {
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
	s := scene.NewSleeper(t, in, fmt.Sprintf("  restore_command: \"cp '%s/%%f' '%%p'\"\n", archive),
		"wal_keep_size = 0", "max_wal_size = 4MB", "archive_mode = on", "archive_command = 'cp %p "+archive+"/%f'")
	standby := scene.StandbyOf(t, s.Primary, s.Proxy, "attached", "")
	size := s.Primary.SegSize(t)
	for off := int64(0); off < int64(size)/3 || off > int64(size)/2; off = size.Offset(s.Primary.CurrentLSN(t)) {
		s.Primary.Exec(t, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 50000))")
	}
	pgtest.WaitCaughtUp(t, s.Primary, standby)
	if code := s.Proxy.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	end := stored(t, s.Primary)
	scene.Spoil(t, s.Proxy, size, size.Floor(end-1)+lsn.LSN(size.Offset(end-1)/2))
	s.Primary.Exec(t, "SELECT pg_drop_replication_slot('replproxy_proxy')")
	scene.Fill(t, s.Primary, 20)
	scene.Forgets(t, s.Primary, end)
	away := archive + ".away"
	rename(t, archive, away)
	s.Proxy.StartNoWait(t)
	scene.Logged(t, "the proxy", s.Proxy.Log, "where the store ends; nothing is skipped: name an archive")
	scene.Logged(t, "the proxy", s.Proxy.Log, "restore_command: restore "+size.FileName(1, size.Segno(end-1)))
	st := scene.Status(t, s.Proxy)
	if st.Store.RepairTo < end || st.Store.Flushed >= end || !strings.Contains(st.Upstream.LastError, "restore_command: ") {
		t.Errorf("while nobody has it: %+v, %+v", st.Store, st.Upstream)
	}
	rename(t, away, archive)
	scene.Logged(t, "the proxy", s.Proxy.Log, "WAL that the upstream has removed was restored from the archive")
	scene.Logged(t, "the proxy", s.Proxy.Log, "the WAL that was owed was received again")
	s.Proxy.WaitReady(t)
	s.Verify(t, standby)
	st = scene.Status(t, s.Proxy)
	if st.Store.RepairTo != 0 {
		t.Errorf("still repairing: %+v", st.Store)
	}
	from := st.Sources[len(st.Sources)-1]
	if scene.StreamsFrom(st) != "primary" || from.Source != "archive" || from.Fetched < int64(size) {
		t.Errorf("where WAL comes from: %+v", st.Sources)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// stored returns the position that the proxy, which is stopped, told the primary's slot that it had flushed.
func stored(t *testing.T, primary *pgtest.Server) lsn.LSN {
	t.Helper()
	at, err := lsn.Parse(primary.Scalar(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical'"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}
