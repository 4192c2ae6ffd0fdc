package conformance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// onVolume is a site whose proxy has a small volume.
func onVolume(t *testing.T, in *pgtest.Install, size, config string, settings ...string) (*site, *pgtest.Volume) {
	t.Helper()
	v := in.NewVolume(t, size)
	s := newSiteWith(t, in, pgtest.ProxyOptions{DataDir: v.DataDir(), Config: config},
		pgtest.InitArgs("--wal-segsize=1"),
		pgtest.Settings(append([]string{"wal_keep_size = 2GB", "max_wal_size = 2GB"}, settings...)...))
	return s, v
}

// metric is the value of one line of /metrics.
func metric(t *testing.T, proxy *pgtest.Proxy, name string) string {
	t.Helper()
	_, body, err := proxy.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// TestDiskFullLosesTheSlotFurthestBehind: a forgotten slot does not stop the stream (R19); those that
// are less far behind, and everybody who is attached, notice nothing.
func TestDiskFullLosesTheSlotFurthestBehind(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, _ := onVolume(t, in, "160m", "wal: {keep_size: 16MB}\n")
	s.createSlot(t, "forgotten")
	s.createSlot(t, "near")
	standbys := []*pgtest.Server{s.standby(t, "near", "near"), s.standby(t, "slotless", "")}
	before := pgtest.WaitStreaming(t, s.primary, 1)[0].PID
	load := startLoad(t, s.primary)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a slot to be lost", func() (bool, error) {
		fill(t, s.primary, 10)
		for _, standby := range standbys {
			pgtest.WaitCaughtUp(t, s.primary, standby)
		}
		return status(t, s.proxy).LostSlots > 0, nil
	})
	load.stopLoad(t)
	s.verify(t, standbys...)
	if slot := proxySlot(t, s.proxy, "forgotten"); slot.Status != "lost" || slot.Reason != "wal_removed" {
		t.Errorf("the slot furthest behind: %+v", slot)
	}
	if slot := proxySlot(t, s.proxy, "near"); slot.Status == "lost" {
		t.Errorf("the other slot: %+v", slot)
	}
	if got := metric(t, s.proxy, "replproxy_slot_lost_slots_total"); got != "1" {
		t.Errorf("lost slots in the metrics: %q", got)
	}
	logged(t, "the proxy", s.proxy.Log, "replication slot is lost")
	warned(t, s.proxy, "slot forgotten is lost")
	if after := pgtest.WaitStreaming(t, s.primary, 1)[0].PID; after != before {
		t.Errorf("the upstream connection was lost: walsender %s, then %s", before, after)
	}
}

func warned(t *testing.T, proxy *pgtest.Proxy, text string) {
	t.Helper()
	for _, w := range status(t, proxy).Warnings {
		if strings.Contains(w, text) {
			return
		}
	}
	t.Errorf("no warning says %q: %q", text, status(t, proxy).Warnings)
}

// senderTimeout is short, so that a pause is soon longer than it.
const senderTimeout = 2 * time.Second

// TestDiskFullPausesTheStream: somebody else's file fills the volume. The stream stops, nothing is
// claimed that is not on the disk, nobody's connection ends, and space coming back is all that it takes.
func TestDiskFullPausesTheStream(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, v := onVolume(t, in, "384m", "wal: {keep_size: 256MB}\n", // so that no slot holds more
		fmt.Sprintf("wal_sender_timeout = '%ds'", int(senderTimeout.Seconds())))
	s.createSlot(t, "with_slot")
	standbys := []*pgtest.Server{s.standby(t, "with_slot", "with_slot"), s.standby(t, "slotless", "")}
	load := startLoad(t, s.primary)
	load.waitCommits(t, 20)
	walsender := pgtest.WaitStreaming(t, s.primary, 1)[0].PID
	attached := pids(status(t, s.proxy))
	if len(attached) != 2 {
		t.Fatalf("attached: %v", attached)
	}

	pauseByFullDisk(t, s, v)
	for _, name := range []string{"replproxy_walstore_disk_full_state", "replproxy_walstore_paused_state"} {
		if got := metric(t, s.proxy, name); got != "1" {
			t.Errorf("%s is %q", name, got)
		}
	}
	warned(t, s.proxy, "receiving has stopped")
	logged(t, "the proxy", s.proxy.Log, "the disk is full")
	st := status(t, s.proxy).Store
	replied := replyTime(t, s.primary, walsender)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "reports during a pause of several wal_sender_timeout", func() (bool, error) {
		now := status(t, s.proxy).Store
		if now.Written != st.Written || now.Flushed != st.Flushed || !now.Paused {
			return false, fmt.Errorf("the pause has ended: %+v", now)
		}
		return replyTime(t, s.primary, walsender).Sub(replied) > 3*senderTimeout, nil
	})
	row := pgtest.WaitStreaming(t, s.primary, 1)[0]
	write, err1 := lsn.Parse(row.Write)
	flush, err2 := lsn.Parse(row.Flush)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if row.PID != walsender || write > st.Written || flush > st.Flushed || write >= st.Received {
		t.Errorf("the primary has %+v, the store %+v", row, st)
	}

	v.Heal(t)
	load.stopLoad(t)
	s.verify(t, standbys...)
	after := status(t, s.proxy)
	if now := pgtest.WaitStreaming(t, s.primary, 1)[0].PID; now != walsender || after.Upstream.Reconnects != 0 {
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
	s.proxy.Kill9(t)
	s.proxy.StartNoWait(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to run on a full disk", func() (bool, error) {
		code, _, err := s.proxy.Get(t.Context(), "/healthz")
		return err == nil && code == 200 && status(t, s.proxy).Store.DiskFull, nil
	})
	v.Heal(t)
	s.verify(t, standbys...)
}

// TestPrimaryStopsWhileTheDiskIsFull: the primary, which waits until its standbys have flushed what it sent, does
// not wait for a disk that takes nothing. What was left behind comes when it is back and there is space.
func TestPrimaryStopsWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s, v := onVolume(t, pgtest.Usual(t), "384m", "wal: {keep_size: 256MB}\n")
	standby := s.standby(t, "standby", "")
	s.primary.Exec(t, loadTable)
	s.verify(t, standby)
	before := pids(status(t, s.proxy))
	pauseByFullDisk(t, s, v)
	began := time.Now()
	s.primary.Stop(t, pgtest.Fast)
	if took := time.Since(began); took > shutdownTime {
		t.Errorf("the primary took %v to stop", took)
	}
	logged(t, "the proxy", s.proxy.Log, "the upstream is shutting down and would wait for this store")
	s.primary.Start(t)
	write(t, s.primary, 20)
	if st := status(t, s.proxy).Store; !st.DiskFull {
		t.Errorf("the disk is full: %+v", st)
	}
	v.Heal(t)
	s.verify(t, standby)
	if after := pids(status(t, s.proxy)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("standbys' sessions were %v and are %v", before, after)
	}
}

// pauseByFullDisk takes the volume's space and writes WAL until the stream stops.
func pauseByFullDisk(t *testing.T, s *site, v *pgtest.Volume) {
	t.Helper()
	v.Fill(t, 0)
	fill(t, s.primary, 100) // more than the memory for it
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to stop", func() (bool, error) {
		st := status(t, s.proxy).Store
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

// replyTime is when the primary heard last from a walsender's client.
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
	s := newSleeperIn(t, in, v.DataDir(), "  keep_size: 16MB\n", "wal_keep_size = 2GB")
	writeWAL(t, s.primary, 100) // beyond the tail
	s.waitGone(t)
	v.Fill(t, 20<<20) // min_free is 10 %
	s.standby.StartNoWait(t)
	logged(t, "the standby", s.standby.Log, "could not fetch WAL that is older than the proxy's store")
	if b := status(t, s.proxy).Backfill; b.Segments != 0 || b.Failed == 0 {
		t.Errorf("backfill %+v", b)
	}
	warned(t, s.proxy, "less than wal.min_free")
	writeWAL(t, s.primary, 5)
	s.verifySegments(t, s.proxy)
	v.Heal(t)
	pgtest.WaitCaughtUp(t, s.primary, s.standby)
	pgtest.EqualData(t, s.primary, s.standby)
}
