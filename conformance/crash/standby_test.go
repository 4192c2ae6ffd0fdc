package crash

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

func TestHotStandby(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		s.CreateSlot(t, "with_slot")
		with := s.Standby(t, "with_slot", "with_slot")
		without := s.Standby(t, "without_slot", "")
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 200)
		load.StopLoad(t)
		s.Verify(t, with, without)

		scene.Attached(t, s.Proxy, "with_slot", "without_slot")
		if slots := scene.Status(t, s.Proxy).Slots; len(slots) != 1 || !slots[0].Active {
			t.Errorf("status shows slots %+v", slots)
		}
		got := s.Primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'with_slot'")
		if got != "0" {
			t.Error("the standby's slot exists on the primary as well")
		}
	})
}

// A standby is a server to read from, and what it says of its upstream is what PostgreSQL's view wants.
func TestStandbySeesItsUpstream(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		standby := s.Standby(t, "reader", "")
		s.Primary.Exec(t, scene.LoadTable) // latest_end_lsn is NULL until a message has come
		s.Verify(t, standby)
		row := standby.QueryRow(t, "SELECT status, received_tli, sender_port, latest_end_lsn >= '0/1000000' "+
			"FROM pg_stat_wal_receiver")
		if want := []string{"streaming", "1", fmt.Sprint(s.Proxy.Port), "t"}; fmt.Sprint(row) != fmt.Sprint(want) {
			t.Errorf("pg_stat_wal_receiver: %v, want %v", row, want)
		}
	}, 14, 18)
}

func TestTenStandbys(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		s := scene.NewSite(t, in, pgtest.Settings("max_wal_senders = 5"))
		var standbys []*pgtest.Server
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprintf("standby_%d", i))
			standbys = append(standbys, s.Standby(t, names[i], "", pgtest.Stopped()))
		}
		for _, standby := range standbys {
			standby.StartNoWait(t)
		}
		load := scene.StartLoad(t, s.Primary)
		scene.Attached(t, s.Proxy, names...)
		load.WaitCommits(t, 100)
		pgtest.WaitStreaming(t, s.Primary, 1) // under load
		load.StopLoad(t)
		s.Verify(t, standbys...)
	}, 15, 18)
}

func TestStandbyRestartedKilledCaughtUp(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		s.CreateSlot(t, "s1")
		standby := s.Standby(t, "s1", "s1")
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 50)
		standby.Restart(t)
		load.WaitCommits(t, 50)
		standby.Kill9(t)
		load.WaitCommits(t, 50)
		s.Primary.Exec(t, "SELECT pg_switch_wal()") // the standby resumes in an older segment
		load.WaitCommits(t, 50)
		standby.Start(t)
		load.WaitCommits(t, 50)
		load.StopLoad(t)
		s.Verify(t, standby)
	})
}

// Slots of the proxy hold WAL in its store, and survive its restart. A standby that was away for longer than
// wal.keep_size catches up with a slot, and is told PostgreSQL's words without one.
func TestSlotHoldsWAL(t *testing.T) {
	s := scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{Config: "wal:\n  keep_size: 32MB\n"})
	s.CreateSlot(t, "with_slot")
	with := s.Standby(t, "with_slot", "with_slot")
	without := s.Standby(t, "without_slot", "")
	s.Primary.Exec(t, scene.LoadTable)
	s.Verify(t, with, without)
	at := without.ReplayLSN(t)
	with.Stop(t, pgtest.Fast)
	without.Stop(t, pgtest.Fast)
	for range 3 {
		scene.WriteWAL(t, s.Primary, 48)
		s.Proxy.Restart(t)
	}
	with.Start(t)
	s.Verify(t, with)

	with.Stop(t, pgtest.Fast)
	scene.Command(t, s.Proxy, "DROP_REPLICATION_SLOT with_slot")
	scene.WriteWAL(t, s.Primary, 96)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop what the standby without slot needs", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Oldest > at, nil
	})
	without.Start(t)
	s.Verify(t, without)
	if b := scene.Status(t, s.Proxy).Backfill; b.Segments == 0 {
		t.Errorf("the standby without slot needed no backfill: %+v", b)
	}
}

// A cascading proxy: primary ← proxy ← proxy ← standby. The primary sees the first only.
func TestCascadingProxy(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		second := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "second", Upstream: s.Proxy.Conninfo()})
		near := s.Standby(t, "near", "")
		far := scene.StandbyOf(t, s.Primary, second, "far", "")
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 100)
		s.Proxy.Kill9(t) // the second waits for the first
		load.WaitCommits(t, 50)
		s.Proxy.Start(t)
		load.WaitCommits(t, 50)
		load.StopLoad(t)
		if got := second.SQL(t, "SELECT count(*) FROM load")[0][0]; got != s.Primary.Scalar(t, "SELECT count(*) FROM load") {
			t.Errorf("a session through both proxies sees %s rows", got)
		}
		s.Verify(t, near, far)
		s.VerifySegments(t, second)
		scene.Attached(t, s.Proxy, "near", "second")
	}, 15, 18)
}

// Segments of other sizes, and the store's files as PostgreSQL's own tool reads them.
func TestSegmentSizes(t *testing.T) {
	in := pgtest.Need(t, 15)
	for _, size := range []int{1, 64} {
		t.Run(fmt.Sprintf("%dMB", size), func(t *testing.T) {
			s := scene.NewSite(t, in, pgtest.InitArgs(fmt.Sprintf("--wal-segsize=%d", size)))
			standby := s.Standby(t, "standby", "")
			load := scene.StartLoad(t, s.Primary)
			load.WaitCommits(t, 300)
			load.StopLoad(t)
			s.Verify(t, standby)

			start, end := scene.Status(t, s.Proxy).Store.Oldest, s.Primary.CurrentLSN(t)
			dir := filepath.Join(s.Proxy.DataDir, "wal")
			out := in.RunTool(t, in.TempDir(t), "pg_waldump", "-q", "-p", dir, "-s", start.String(), "-e", end.String())
			if out != "" {
				t.Errorf("pg_waldump: %s", out)
			}
		})
	}
}
