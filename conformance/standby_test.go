package conformance

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func TestHotStandby(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		s.createSlot(t, "with_slot")
		with := s.standby(t, "with_slot", "with_slot")
		without := s.standby(t, "without_slot", "")
		load := startLoad(t, s.primary)
		load.waitCommits(t, 200)
		load.stopLoad(t)
		s.verify(t, with, without)

		attached(t, s.proxy, "with_slot", "without_slot")
		if slots := status(t, s.proxy).Slots; len(slots) != 1 || !slots[0].Active {
			t.Errorf("status shows slots %+v", slots)
		}
		got := s.primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'with_slot'")
		if got != "0" {
			t.Error("the standby's slot exists on the primary as well")
		}
	})
}

// A standby is a server to read from, and what it says of its upstream is what PostgreSQL's view wants.
func TestStandbySeesItsUpstream(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		standby := s.standby(t, "reader", "")
		s.primary.Exec(t, loadTable) // latest_end_lsn is NULL until a message has come
		s.verify(t, standby)
		row := standby.QueryRow(t, "SELECT status, received_tli, sender_port, latest_end_lsn >= '0/1000000' "+
			"FROM pg_stat_wal_receiver")
		if want := []string{"streaming", "1", fmt.Sprint(s.proxy.Port), "t"}; fmt.Sprint(row) != fmt.Sprint(want) {
			t.Errorf("pg_stat_wal_receiver: %v, want %v", row, want)
		}
	}, 14, 18)
}

func TestTenStandbys(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		s := newSite(t, in, pgtest.Settings("max_wal_senders = 5"))
		var standbys []*pgtest.Server
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprintf("standby_%d", i))
			standbys = append(standbys, s.standby(t, names[i], "", pgtest.Stopped()))
		}
		for _, standby := range standbys {
			standby.StartNoWait(t)
		}
		load := startLoad(t, s.primary)
		attached(t, s.proxy, names...)
		load.waitCommits(t, 100)
		pgtest.WaitStreaming(t, s.primary, 1) // under load
		load.stopLoad(t)
		s.verify(t, standbys...)
	}, 15, 18)
}

func TestStandbyRestartedKilledCaughtUp(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		s.createSlot(t, "s1")
		standby := s.standby(t, "s1", "s1")
		load := startLoad(t, s.primary)
		load.waitCommits(t, 50)
		standby.Restart(t)
		load.waitCommits(t, 50)
		standby.Kill9(t)
		load.waitCommits(t, 50)
		s.primary.Exec(t, "SELECT pg_switch_wal()") // the standby resumes in an older segment
		load.waitCommits(t, 50)
		standby.Start(t)
		load.waitCommits(t, 50)
		load.stopLoad(t)
		s.verify(t, standby)
	})
}

// Slots of the proxy hold WAL in its store, and survive its restart: a standby that was away for longer
// than wal.keep_size catches up with a slot, and is told PostgreSQL's words without one.
func TestSlotHoldsWAL(t *testing.T) {
	s := newSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{Config: "wal:\n  keep_size: 32MB\n"})
	s.createSlot(t, "with_slot")
	with := s.standby(t, "with_slot", "with_slot")
	without := s.standby(t, "without_slot", "")
	s.primary.Exec(t, loadTable)
	s.verify(t, with, without)
	at := without.ReplayLSN(t)
	with.Stop(t, pgtest.Fast)
	without.Stop(t, pgtest.Fast)
	for range 3 {
		writeWAL(t, s.primary, 48)
		s.proxy.Restart(t)
	}
	with.Start(t)
	s.verify(t, with)

	with.Stop(t, pgtest.Fast)
	command(t, s.proxy, "DROP_REPLICATION_SLOT with_slot")
	writeWAL(t, s.primary, 96)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop what the standby without slot needs", func() (bool, error) {
		return status(t, s.proxy).Store.Oldest > at, nil
	})
	without.Start(t)
	s.verify(t, without)
	if b := status(t, s.proxy).Backfill; b.Segments == 0 {
		t.Errorf("the standby without slot needed no backfill: %+v", b)
	}
}

// writeWAL writes about mb MiB of WAL and ends its last segment.
func writeWAL(t *testing.T, server *pgtest.Server, mb int) {
	t.Helper()
	server.Exec(t, fmt.Sprintf("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20)) "+
		"FROM generate_series(1, %d)", mb))
	server.Exec(t, "SELECT pg_switch_wal()")
}

// A cascading proxy: primary ← proxy ← proxy ← standby. The primary sees the first only.
func TestCascadingProxy(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		second := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "second", Upstream: s.proxy.Conninfo()})
		near := s.standby(t, "near", "")
		far := standbyOf(t, s.primary, second, "far", "")
		load := startLoad(t, s.primary)
		load.waitCommits(t, 100)
		s.proxy.Kill9(t) // the second waits for the first
		load.waitCommits(t, 50)
		s.proxy.Start(t)
		load.waitCommits(t, 50)
		load.stopLoad(t)
		if got := second.SQL(t, "SELECT count(*) FROM load")[0][0]; got != s.primary.Scalar(t, "SELECT count(*) FROM load") {
			t.Errorf("a session through both proxies sees %s rows", got)
		}
		s.verify(t, near, far)
		s.verifySegments(t, second)
		attached(t, s.proxy, "near", "second")
	}, 15, 18)
}

// Segments of other sizes, and the store's files as PostgreSQL's own tool reads them.
func TestSegmentSizes(t *testing.T) {
	in := pgtest.Need(t, 15)
	for _, size := range []int{1, 64} {
		t.Run(fmt.Sprintf("%dMB", size), func(t *testing.T) {
			s := newSite(t, in, pgtest.InitArgs(fmt.Sprintf("--wal-segsize=%d", size)))
			standby := s.standby(t, "standby", "")
			load := startLoad(t, s.primary)
			load.waitCommits(t, 300)
			load.stopLoad(t)
			s.verify(t, standby)

			start, end := status(t, s.proxy).Store.Oldest, s.primary.CurrentLSN(t)
			dir := filepath.Join(s.proxy.DataDir, "wal")
			out := in.RunTool(t, in.TempDir(t), "pg_waldump", "-q", "-p", dir, "-s", start.String(), "-e", end.String())
			if out != "" {
				t.Errorf("pg_waldump: %s", out)
			}
		})
	}
}
