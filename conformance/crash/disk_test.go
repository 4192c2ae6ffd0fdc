package crash

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestDiskFullLosesTheSlotFurthestBehind: a forgotten slot does not stop the stream (R19); those that
// are less far behind, and everybody who is attached, notice nothing.
func TestDiskFullLosesTheSlotFurthestBehind(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, _ := scene.OnVolume(t, in, "160m", "wal: {keep_size: 16MB}\n")
	s.CreateSlot(t, "forgotten")
	s.CreateSlot(t, "near")
	standbys := []*pgtest.Server{s.Standby(t, "near", "near"), s.Standby(t, "slotless", "")}
	before := pgtest.WaitStreaming(t, s.Primary, 1)[0].PID
	load := scene.StartLoad(t, s.Primary)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a slot to be lost", func() (bool, error) {
		scene.Fill(t, s.Primary, 10)
		for _, standby := range standbys {
			pgtest.WaitCaughtUp(t, s.Primary, standby)
		}
		return scene.Status(t, s.Proxy).LostSlots > 0, nil
	})
	load.StopLoad(t)
	s.Verify(t, standbys...)
	if slot := scene.ProxySlot(t, s.Proxy, "forgotten"); slot.Status != "lost" || slot.Reason != "wal_removed" {
		t.Errorf("the slot furthest behind: %+v", slot)
	}
	if slot := scene.ProxySlot(t, s.Proxy, "near"); slot.Status == "lost" {
		t.Errorf("the other slot: %+v", slot)
	}
	if got := scene.Metric(t, s.Proxy, "replproxy_slot_lost_slots_total"); got != "1" {
		t.Errorf("lost slots in the metrics: %q", got)
	}
	scene.Logged(t, "the proxy", s.Proxy.Log, "replication slot is lost")
	scene.Warned(t, s.Proxy, "slot forgotten is lost")
	if after := pgtest.WaitStreaming(t, s.Primary, 1)[0].PID; after != before {
		t.Errorf("the upstream connection was lost: walsender %s, then %s", before, after)
	}
}

// TestFullDiskIsSaid: a slot that can't be made for lack of space has PostgreSQL's SQLSTATE, and what is free is said
// when it is nothing. Segments of 1 MB are kept by the megabyte.
func TestFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	s, v := scene.OnVolume(t, pgtest.Usual(t), "96m", "wal: {keep_size: 4MB}\n")
	v.Fill(t, 0)
	pgtest.WaitFor(t, time.Minute, "a slot to find no space", func() (bool, error) {
		_, err := pgtest.Query(t.Context(), s.Proxy.Conninfo("replication=true"), "CREATE_REPLICATION_SLOT f1 PHYSICAL")
		if err == nil { // something was given back meanwhile
			scene.Command(t, s.Proxy, "DROP_REPLICATION_SLOT f1")
			v.Fill(t, 0)
			return false, nil
		}
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "53100" || !strings.HasPrefix(e.Message, "could not write to file ") {
			return false, err
		}
		return true, nil
	})
	var st struct{ Store map[string]any }
	s.Proxy.Status(t, &st)
	if free, said := st.Store["free_bytes"].(float64); !said || free > 1<<20 {
		t.Errorf("free_bytes is %v", st.Store["free_bytes"])
	}
	scene.WaitVerdict(t, s.Proxy, "DEGRADED SPAN: the volume of data_dir has 0 B free, less than wal.min_free (9.6 MB): "+
		"slots and slow standbys lose WAL beyond wal.keep_size → make room on "+s.Proxy.DataDir+", or lower wal.keep_size")
}

// senderTimeout is short, so that a pause is soon longer than it.
const senderTimeout = 2 * time.Second

// TestDiskFullPausesTheStream: somebody else's file fills the volume. The stream stops, nothing is
// claimed that is not on the disk, nobody's connection ends, and space coming back is all that it takes.
func TestDiskFullPausesTheStream(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, v := scene.OnVolume(t, in, "384m", "wal: {keep_size: 256MB}\n", // so that no slot holds more
		fmt.Sprintf("wal_sender_timeout = '%ds'", int(senderTimeout.Seconds())))
	s.CreateSlot(t, "with_slot")
	standbys := []*pgtest.Server{s.Standby(t, "with_slot", "with_slot"), s.Standby(t, "slotless", "")}
	load := scene.StartLoad(t, s.Primary)
	load.WaitCommits(t, 20)
	walsender := pgtest.WaitStreaming(t, s.Primary, 1)[0].PID
	attached := pids(scene.Status(t, s.Proxy))
	if len(attached) != 2 {
		t.Fatalf("attached: %v", attached)
	}

	pauseByFullDisk(t, s, v)
	for _, name := range []string{"replproxy_walstore_disk_full_state", "replproxy_walstore_paused_state"} {
		if got := scene.Metric(t, s.Proxy, name); got != "1" {
			t.Errorf("%s is %q", name, got)
		}
	}
	scene.Warned(t, s.Proxy, "receiving has stopped")
	if v := scene.Status(t, s.Proxy).Verdict; v.State != admin.VerdictStopped ||
		!strings.Contains(v.Text, ": the volume of data_dir is full and receiving has stopped (") ||
		!strings.Contains(v.Text, " wait in memory) → make room on "+s.Proxy.DataDir+", or lower wal.keep_size") {
		t.Errorf("the verdict is %s", v.Text)
	}
	scene.Logged(t, "the proxy", s.Proxy.Log, "the disk is full")
	st := scene.Status(t, s.Proxy).Store
	replied := replyTime(t, s.Primary, walsender)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "reports during a pause of several wal_sender_timeout", func() (bool, error) {
		now := scene.Status(t, s.Proxy).Store
		if now.Written != st.Written || now.Flushed != st.Flushed || !now.Paused {
			return false, fmt.Errorf("the pause has ended: %+v", now)
		}
		return replyTime(t, s.Primary, walsender).Sub(replied) > 3*senderTimeout, nil
	})
	row := pgtest.WaitStreaming(t, s.Primary, 1)[0]
	write, err1 := lsn.Parse(row.Write)
	flush, err2 := lsn.Parse(row.Flush)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if row.PID != walsender || write > st.Written || flush > st.Flushed || write >= st.Received {
		t.Errorf("the primary has %+v, the store %+v", row, st)
	}

	v.Heal(t)
	load.StopLoad(t)
	s.Verify(t, standbys...)
	after := scene.Status(t, s.Proxy)
	if now := pgtest.WaitStreaming(t, s.Primary, 1)[0].PID; now != walsender || after.Upstream.Reconnects != 0 {
		t.Errorf("walsender %s, then %s, %d reconnects", walsender, now, after.Upstream.Reconnects)
	}
	if now := pids(after); fmt.Sprint(now) != fmt.Sprint(attached) {
		t.Errorf("standbys' sessions were %v and are %v", attached, now)
	}
	if after.Store.DiskFull || after.Store.Paused || after.LostSlots != 0 {
		t.Errorf("afterwards: %+v, %d slots lost", after.Store, after.LostSlots)
	}

	// kill -9 in the middle of it, and a start on a full disk.
	pauseByFullDisk(t, s, v)
	s.Proxy.Kill9(t)
	s.Proxy.StartNoWait(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to run on a full disk", func() (bool, error) {
		code, _, err := s.Proxy.Get(t.Context(), "/healthz")
		return err == nil && code == 200 && scene.Status(t, s.Proxy).Store.DiskFull, nil
	})
	v.Heal(t)
	s.Verify(t, standbys...)
}

// TestPrimaryStopsWhileTheDiskIsFull: the primary, which waits until its standbys have flushed what it sent, does
// not wait for a disk that takes nothing. What was left behind comes when it is back and there is space.
func TestPrimaryStopsWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s, v := scene.OnVolume(t, pgtest.Usual(t), "384m", "wal: {keep_size: 256MB}\n")
	standby := s.Standby(t, "standby", "")
	s.Primary.Exec(t, scene.LoadTable)
	s.Verify(t, standby)
	before := pids(scene.Status(t, s.Proxy))
	pauseByFullDisk(t, s, v)
	began := time.Now()
	s.Primary.Stop(t, pgtest.Fast)
	if took := time.Since(began); took > scene.ShutdownTime {
		t.Errorf("the primary took %v to stop", took)
	}
	scene.Logged(t, "the proxy", s.Proxy.Log, "the upstream is shutting down and would wait for this store")
	s.Primary.Start(t)
	scene.Write(t, s.Primary, 20)
	if st := scene.Status(t, s.Proxy).Store; !st.DiskFull {
		t.Errorf("the disk is full: %+v", st)
	}
	v.Heal(t)
	s.Verify(t, standby)
	if after := pids(scene.Status(t, s.Proxy)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("standbys' sessions were %v and are %v", before, after)
	}
}

// pauseByFullDisk takes the volume's space and writes WAL until the stream stops.
func pauseByFullDisk(t *testing.T, s *scene.Site, v *pgtest.Volume) {
	t.Helper()
	v.Fill(t, 0)
	scene.Fill(t, s.Primary, 100) // more than the memory for it
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to stop", func() (bool, error) {
		st := scene.Status(t, s.Proxy).Store
		return st.DiskFull && st.Paused, nil
	})
}

// pids are the sessions of the attached standbys, by name.
func pids(st admin.Status) map[string]int32 {
	m := map[string]int32{}
	for _, s := range st.Standbys {
		m[s.ApplicationName] = s.PID
	}
	return m
}

// replyTime returns the time of the last message that the primary heard from a walsender's client.
func replyTime(t *testing.T, primary *pgtest.Server, pid string) time.Time {
	t.Helper()
	text := primary.Scalar(t, fmt.Sprintf(
		"SELECT extract(epoch FROM reply_time)::numeric(20,3) FROM pg_stat_replication WHERE pid = %s", pid))
	var seconds float64
	if _, err := fmt.Sscan(text, &seconds); err != nil {
		t.Fatalf("walsender %s is gone: %v", pid, err)
	}
	return time.UnixMilli(int64(seconds * 1000))
}

// TestBackfillLeavesMinFree: old WAL is not fetched onto a volume that is short; its standby is told, the
// stream is not disturbed, and when there is room the standby gets it.
func TestBackfillLeavesMinFree(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	v := in.NewVolume(t, "256m")
	s := scene.NewSleeperIn(t, in, v.DataDir(), "  keep_size: 16MB\n", "wal_keep_size = 2GB")
	scene.WriteWAL(t, s.Primary, 100) // beyond the tail
	s.WaitGone(t)
	v.Fill(t, 20<<20) // min_free is 10 %
	s.Standby.StartNoWait(t)
	scene.Logged(t, "the standby", s.Standby.Log, "could not fetch WAL that is older than the proxy's store")
	if b := scene.Status(t, s.Proxy).Backfill; b.Segments != 0 || b.Failed == 0 {
		t.Errorf("backfill %+v", b)
	}
	scene.Warned(t, s.Proxy, "less than wal.min_free")
	scene.WriteWAL(t, s.Primary, 5)
	s.VerifySegments(t, s.Proxy)
	v.Heal(t)
	pgtest.WaitCaughtUp(t, s.Primary, s.Standby)
	pgtest.EqualData(t, s.Primary, s.Standby)
}
