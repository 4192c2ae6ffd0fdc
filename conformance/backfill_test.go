package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// sleeper is a site whose store keeps little, and a standby that is down.
type sleeper struct {
	*site
	standby *pgtest.Server
	at      lsn.LSN // where it stopped
}

func newSleeper(t *testing.T, in *pgtest.Install, wal string, settings ...string) *sleeper {
	t.Helper()
	return newSleeperIn(t, in, "", wal, settings...)
}

func newSleeperIn(t *testing.T, in *pgtest.Install, dataDir, wal string, settings ...string) *sleeper {
	t.Helper()
	settings = append(settings, "max_wal_size = 32MB", "min_wal_size = 2MB")
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings(settings...))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), DataDir: dataDir, Config: "wal:\n" + wal,
	})
	s := &sleeper{site: &site{in: in, primary: primary, proxy: proxy}}
	s.standby = standbyOf(t, primary, proxy, "sleeper", "")
	pgtest.WaitCaughtUp(t, primary, s.standby)
	s.at = s.standby.ReplayLSN(t)
	s.standby.Stop(t, pgtest.Fast)
	return s
}

// waitGone waits until the store has all WAL of the primary and does not reach back to the standby, by
// far more than the few segments that the tests ask to see fetched.
func (s *sleeper) waitGone(t *testing.T) {
	t.Helper()
	const gap = 20 << 20
	end := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop what the standby needs", func() (bool, error) {
		st := status(t, s.proxy).Store
		return st.Flushed >= end && st.Oldest > s.at+gap, nil
	})
}

// wake starts the standby and waits until it equals the primary.
func (s *sleeper) wake(t *testing.T) admin.Backfill {
	t.Helper()
	s.standby.Start(t)
	pgtest.WaitCaughtUp(t, s.primary, s.standby)
	pgtest.EqualData(t, s.primary, s.standby)
	pgtest.WaitStreaming(t, s.primary, 1) // the backfill's walsender is given back
	return status(t, s.proxy).Backfill
}

func TestSleptPastRetentionFedFromPrimary(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSleeper(t, in, "  keep_size: 16MB\n", "wal_keep_size = 2GB")
	writeWAL(t, s.primary, 100) // beyond the tail
	s.waitGone(t)
	b := s.wake(t)
	if b.Segments < 5 || b.Failed != 0 || b.Damaged != 0 {
		t.Errorf("backfill %+v", b)
	}
	s.verifySegments(t, s.proxy)
}

// TestSleptPastRetentionWithANewSlot: the standby comes back with a slot that is made only then, and begins
// where the store does. What it reports meanwhile, from before that, does not cost it the slot.
func TestSleptPastRetentionWithANewSlot(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := newSleeper(t, in, "  keep_size: 16MB\nslots: {auto_create: true}\n", "wal_keep_size = 2GB")
	writeWAL(t, s.primary, 100) // beyond the tail
	s.waitGone(t)
	s.standby.Set(t, "primary_slot_name = 'late'")
	if b := s.wake(t); b.Segments < 5 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	st := status(t, s.proxy)
	for _, slot := range st.Slots {
		if slot.Name != "late" || slot.Status == "lost" || !slot.Active || slot.Restart < s.at {
			t.Errorf("%+v", slot)
		}
	}
	if len(st.Slots) != 1 || strings.Contains(s.proxy.Log(), "replication slot is lost") {
		t.Errorf("slots %+v", st.Slots)
	}
}

// TestSleptThroughFailover: a standby slept past retention and past a failover. What it needs of the old
// timeline, up to the fork within a segment, the store has no more: it comes from the new primary, and the
// standby goes on over the fork.
func TestSleptThroughFailover(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
	c := &cluster{in: in, primary: in.Primary(t, settings, pgtest.InitArgs("--wal-segsize=1"))}
	c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"))
	c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: hosts(c.primary, c.candidate), Config: "wal: {keep_size: 16MB}\n",
	})
	c.primary.Exec(t, loadTable)
	awake, sleeper := c.standby(t, "awake"), c.standby(t, "sleeper")
	write(t, c.primary, 20)
	c.follows(t, c.primary, 1, awake, sleeper)
	sleeper.Stop(t, pgtest.Fast)

	writeWAL(t, c.primary, 40)
	write(t, c.primary, 20)
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	c.primary.Kill9(t)
	c.candidate.Promote(t)
	writeWAL(t, c.candidate, 150) // more than the tail in memory
	c.follows(t, c.candidate, 2, awake)
	fork := c.fork(t)
	if c.candidate.SegSize(t).IsStart(fork) {
		t.Fatalf("the fork %s lies between segments", fork)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop the old timeline", func() (bool, error) {
		return status(t, c.proxy).Store.Oldest > fork, nil
	})
	sleeper.Start(t)
	c.follows(t, c.candidate, 2, awake, sleeper)
	if b := status(t, c.proxy).Backfill; b.Segments < 40 || b.Failed != 0 || b.Damaged != 0 {
		t.Errorf("backfill %+v", b)
	}
	(&site{primary: c.candidate}).verifySegments(t, c.proxy)
}

// fork is where the proxy's newest timeline begins.
func (c *cluster) fork(t *testing.T) lsn.LSN {
	t.Helper()
	tli := status(t, c.proxy).Store.Timeline
	content, err := os.ReadFile(filepath.Join(c.proxy.DataDir, "wal", tli.HistoryFileName()))
	if err != nil {
		t.Fatal(err)
	}
	h, err := lsn.ParseHistory(tli, content)
	if err != nil {
		t.Fatal(err)
	}
	return h.Begin()
}

func TestSleptPastRetentionFedFromArchive(t *testing.T) {
	in := pgtest.Usual(t)
	archive := in.TempDir(t)
	s := newSleeper(t, in, fmt.Sprintf("  keep_size: 16MB\n  restore_command: \"cp '%s/%%f' '%%p'\"\n", archive),
		"archive_mode = on", fmt.Sprintf("archive_command = 'cp %%p %s/%%f'", archive))
	writeWAL(t, s.primary, 100) // beyond the tail
	s.waitGone(t)
	s.primaryForgets(t)
	b := s.wake(t)
	if b.Segments < 5 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
}

// primaryForgets makes the primary remove what the standby needs.
func (s *sleeper) primaryForgets(t *testing.T) {
	t.Helper()
	forgets(t, s.primary, s.at)
}

// forgets makes a primary remove the segment of at, on timeline 1.
func forgets(t *testing.T, primary *pgtest.Server, at lsn.LSN) {
	t.Helper()
	size := primary.SegSize(t)
	needed := filepath.Join(primary.WALDir(), size.FileName(1, size.Segno(at)))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to drop the segment of "+at.String(), func() (bool, error) {
		primary.Exec(t, "CHECKPOINT")
		_, err := os.Stat(needed)
		return os.IsNotExist(err), nil
	})
}

// TestWALNobodyHas: PostgreSQL's words, again and again, and the proxy stays well.
func TestWALNobodyHas(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSleeper(t, in, "  keep_size: 16MB\n  restore_command: \"false\"\n")
	writeWAL(t, s.primary, 100) // beyond the tail
	s.waitGone(t)
	s.primaryForgets(t)
	s.standby.StartNoWait(t)
	name := s.primary.SegSize(t).FileName(1, s.primary.SegSize(t).Segno(s.at))
	logged(t, "the standby", s.standby.Log, "requested WAL segment "+name+" has already been removed")
	b := status(t, s.proxy).Backfill
	if b.Segments != 0 || b.Failed == 0 || !strings.Contains(b.LastError, "restore_command") {
		t.Errorf("backfill %+v", b)
	}
}

// TestDamagedSegmentIsFetchedAgain flips a bit of the proxy's copy while nobody reads it.
func TestDamagedSegmentIsFetchedAgain(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSleeper(t, in, "  keep_size: 1GB\n", "wal_keep_size = 2GB")
	writeWAL(t, s.primary, 100) // beyond the tail
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to flush", func() (bool, error) {
		return status(t, s.proxy).Store.Flushed > s.at+90<<20, nil
	})
	size := s.primary.SegSize(t)
	name := filepath.Join(s.proxy.DataDir, "wal", size.FileName(1, size.Segno(s.at)+3))
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
	b := s.wake(t)
	if b.Damaged != 1 || b.Segments != 1 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Errorf("the file is not what it was: %v", err)
	}
}
