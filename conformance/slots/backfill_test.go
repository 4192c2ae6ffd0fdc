package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

func TestSleptPastRetentionServedFromPrimary(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSleeper(t, in, "  keep_size: 16MB\n", "wal_keep_size = 2GB")
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	s.WaitGone(t)
	b := s.Wake(t)
	if b.Segments < 5 || b.Failed != 0 || b.Damaged != 0 {
		t.Errorf("backfill %+v", b)
	}
	s.VerifySegments(t, s.Proxy)
}

// TestSleptPastRetentionWithANewSlot: the standby comes back with a slot that is made only then, and begins
// where the store does. What it reports meanwhile, from before that, does not cost it the slot.
func TestSleptPastRetentionWithANewSlot(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSleeper(t, in, "  keep_size: 16MB\nslots: {auto_create: true}\n", "wal_keep_size = 2GB")
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	s.WaitGone(t)
	s.Standby.Set(t, "primary_slot_name = 'late'")
	if b := s.Wake(t); b.Segments < 5 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	st := scene.Status(t, s.Proxy)
	for _, slot := range st.Slots {
		if slot.Name != "late" || slot.Status == "lost" || !slot.Active || slot.Restart < s.At {
			t.Errorf("%+v", slot)
		}
	}
	if len(st.Slots) != 1 || strings.Contains(s.Proxy.Log(), "replication slot is lost") {
		t.Errorf("slots %+v", st.Slots)
	}
}

// TestSleptThroughFailover: a standby slept past retention and past a failover. The store lacks the WAL of the old
// timeline that it needs, up to the fork within a segment. That comes from the new primary, and the standby goes on
// over the fork.
func TestSleptThroughFailover(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings, pgtest.InitArgs("--wal-segsize=1"))}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(c.Primary, c.Candidate), Config: "wal: {keep_size: 16MB}\n",
	})
	c.Primary.Exec(t, scene.LoadTable)
	awake, sleeper := c.Standby(t, "awake"), c.Standby(t, "sleeper")
	scene.Write(t, c.Primary, 20)
	c.Follows(t, c.Primary, 1, awake, sleeper)
	sleeper.Stop(t, pgtest.Fast)

	scene.WriteWAL(t, c.Primary, 40)
	scene.Write(t, c.Primary, 20)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	c.Primary.Kill9(t)
	c.Candidate.Promote(t)
	scene.WriteWAL(t, c.Candidate, 150) // more than the tail in memory
	c.Follows(t, c.Candidate, 2, awake)
	fork := c.Fork(t)
	if c.Candidate.SegSize(t).IsStart(fork) {
		t.Fatalf("the fork %s lies between segments", fork)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop the old timeline", func() (bool, error) {
		return scene.Status(t, c.Proxy).Store.Oldest > fork, nil
	})
	sleeper.Start(t)
	c.Follows(t, c.Candidate, 2, awake, sleeper)
	if b := scene.Status(t, c.Proxy).Backfill; b.Segments < 40 || b.Failed != 0 || b.Damaged != 0 {
		t.Errorf("backfill %+v", b)
	}
	(&scene.Site{Primary: c.Candidate}).VerifySegments(t, c.Proxy)
}

func TestSleptPastRetentionServedFromArchive(t *testing.T) {
	in := pgtest.Usual(t)
	archive := in.TempDir(t)
	s := scene.NewSleeper(t, in, fmt.Sprintf("  keep_size: 16MB\n  restore_command: \"cp '%s/%%f' '%%p'\"\n", archive),
		"archive_mode = on", fmt.Sprintf("archive_command = 'cp %%p %s/%%f'", archive))
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	s.WaitGone(t)
	s.PrimaryForgets(t)
	b := s.Wake(t)
	if b.Segments < 5 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
}

// TestWALNobodyHas: PostgreSQL's words, again and again, and the proxy stays well.
func TestWALNobodyHas(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSleeper(t, in, "  keep_size: 16MB\n  restore_command: \"false\"\n")
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	s.WaitGone(t)
	s.PrimaryForgets(t)
	s.Standby.StartNoWait(t)
	name := s.Primary.SegSize(t).FileName(1, s.Primary.SegSize(t).Segno(s.At))
	scene.Logged(t, "the standby", s.Standby.Log, "requested WAL segment "+name+" has already been removed")
	b := scene.Status(t, s.Proxy).Backfill
	if b.Segments != 0 || b.Failed == 0 || !strings.Contains(b.LastError, "restore_command") {
		t.Errorf("backfill %+v", b)
	}
}

// TestDamagedSegmentIsFetchedAgain flips a bit of the proxy's copy while nobody reads it.
func TestDamagedSegmentIsFetchedAgain(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSleeper(t, in, "  keep_size: 1GB\n", "wal_keep_size = 2GB")
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to flush", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Flushed > s.At+90<<20, nil
	})
	size := s.Primary.SegSize(t)
	name := filepath.Join(s.Proxy.DataDir, "wal", size.FileName(1, size.Segno(s.At)+3))
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{before[500_000] ^ 8}, 500_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b := s.Wake(t)
	if b.Damaged != 1 || b.Segments != 1 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Errorf("the file is not what it was: %v", err)
	}
}
