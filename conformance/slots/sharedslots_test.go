package slots

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// refusal sends a replication command that is to fail, and gives the error's text.
func refusal(t *testing.T, proxy *pgtest.Proxy, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pgtest.ReplayTimeout)
	defer cancel()
	rows, err := pgtest.Query(ctx, proxy.Conninfo("replication=true"), sql)
	if err == nil {
		t.Errorf("%s at %s: %v, no error", sql, proxy.Name, rows)
		return ""
	}
	return err.Error()
}

func wantRefusal(t *testing.T, proxy *pgtest.Proxy, sql string, texts ...string) {
	t.Helper()
	got := refusal(t, proxy, sql)
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%s at %s: %s, expected %q", sql, proxy.Name, got, text)
		}
	}
}

// waitShared waits until the proxies hear each other about slots, so that nobody goes on without another one.
func waitShared(t *testing.T, all ...*pgtest.Proxy) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "the proxies to share slots", func() (bool, error) {
		for _, p := range all {
			c := scene.Status(t, p).Cluster
			for _, peer := range c.Peers {
				if peer.Heard.IsZero() || peer.Slots != "" || scene.Status(t, p).Upstream.State != admin.Streaming {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

// removed waits until the primary has removed the segment of at.
func removed(t *testing.T, primary *pgtest.Server, at lsn.LSN) {
	t.Helper()
	size := primary.SegSize(t)
	name := size.FileName(1, size.Segno(at))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to remove "+name, func() (bool, error) {
		primary.Exec(t, "SELECT pg_switch_wal(); CHECKPOINT")
		return primary.Scalar(t, "SELECT count(*) FROM pg_ls_waldir() WHERE name = '"+name+"'") == "0", nil
	})
}

// A slot that was made at one proxy is everywhere: its name is taken, it is read, refused while a session uses
// it, dropped from anywhere. Its standby goes on at another proxy when its own dies, from WAL that the primary
// has no more, and its xmin is held meanwhile.
func TestSlotMovesBetweenProxies(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 0", "max_wal_size = 16MB"))
	all := scene.ClusterOf(t, primary.Conninfo(), "wal: {keep_size: 16MB}\nfeedback: {settle: 1s}\n", "a", "b")
	a, b := all[0], all[1]
	waitShared(t, a, b)
	scene.Command(t, a, "CREATE_REPLICATION_SLOT x PHYSICAL RESERVE_WAL")
	wantRefusal(t, b, "CREATE_REPLICATION_SLOT x PHYSICAL", "42710", `replication slot "x" already exists`)
	at := scene.Command(t, a, "READ_REPLICATION_SLOT x")[0]
	if row := scene.Command(t, b, "READ_REPLICATION_SLOT x")[0]; !slices.Equal(row, at) || at[0] != "physical" {
		t.Errorf("x is %v at a, %v at b", at, row)
	}
	standby := scene.StandbyOf(t, primary, a, "s1", "x", pgtest.Settings("hot_standby_feedback = on",
		"wal_receiver_status_interval = 1s", "wal_retrieve_retry_interval = 200ms"))
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, standby)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "b to know the slot's session, position and xmin", func() (bool, error) {
		here, there := scene.ProxySlot(t, a, "x"), scene.ProxySlot(t, b, "x")
		return there.ActivePID != 0 && there.ActivePID == here.ActivePID && there.Restart > scene.ParseLSN(t, at[1]) &&
			there.Xmin != 0 && there.Owner == "a" && slices.Equal(there.KeptBy, []string{"a", "b"}), nil
	})
	pid := scene.ProxySlot(t, a, "x").ActivePID
	busy := fmt.Sprintf(`replication slot "x" is active for PID %d`, pid)
	wantRefusal(t, b, "START_REPLICATION SLOT x PHYSICAL "+at[1], "55006", busy)
	wantRefusal(t, b, "DROP_REPLICATION_SLOT x", "55006", busy)

	a.Kill9(t)
	gone := primary.CurrentLSN(t)
	standby.Stop(t, pgtest.Fast)
	primary.Exec(t, "SELECT pg_drop_replication_slot('replproxy_a')") // a stays dead, its slot would hold everything
	scene.Fill(t, primary, 60)
	primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "b to have it", func() (bool, error) {
		return scene.Status(t, b).Store.Flushed >= primary.CurrentLSN(t), nil
	})
	removed(t, primary, gone+1<<20)
	if row := primary.QueryRow(t, scene.RealSlot+"replproxy_b'"); row[2] == pgtest.Null {
		t.Error("the xmin of the slot is not held on the primary")
	}
	if s := scene.ProxySlot(t, b, "x"); s.HeldBytes < 50<<20 || s.Status != "extended" {
		t.Errorf("b keeps %d bytes for x, %s", s.HeldBytes, s.Status)
	}
	standby.Set(t, "primary_conninfo = '"+b.Conninfo("application_name=s1")+"'")
	standby.Start(t)
	pgtest.WaitCaughtUp(t, primary, standby)
	pgtest.EqualTable(t, primary, standby, "t")
	if s := scene.ProxySlot(t, b, "x"); s.Owner != "b" || !s.Active || !slices.Equal(s.Unconfirmed, []string{"a"}) {
		t.Errorf("after the move: %+v", s)
	}
	standby.Stop(t, pgtest.Fast)
	scene.Command(t, b, "DROP_REPLICATION_SLOT x WAIT")
	if s := scene.ProxySlot(t, b, "x"); s.Name != "" {
		t.Errorf("dropped: %+v", s)
	}
}

// The mirror of a slot whose proxy is dead holds no WAL back on the primary (R18).
func TestMirrorOfADeadProxy(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 18).Primary(t)
	all := scene.ClusterOf(t, primary.Conninfo(), "slots: {mirror: presence}\nfeedback: {settle: 1s}\n", "a", "b")
	a, b := all[0], all[1]
	waitShared(t, a, b)
	scene.Command(t, a, "CREATE_REPLICATION_SLOT x PHYSICAL RESERVE_WAL")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "b to know of the mirror", func() (bool, error) {
		return scene.ProxySlot(t, b, "x").Real == "mirrored" && len(primary.SQL(t, scene.RealSlot+"x'")) == 1, nil
	})
	a.Kill9(t)
	scene.Fill(t, primary, 5)
	end := primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirror to move", func() (bool, error) {
		return scene.ParseLSN(t, primary.QueryRow(t, scene.RealSlot+"x'")[1]) >= end, nil
	})
}

// Three proxies: what one misses while it is dead it learns when it is back. A slot that moved on is not moved
// back, one that was dropped does not come back, and a drop from anywhere waits for the session anywhere.
func TestStaleProxyReturns(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	all := scene.ClusterOf(t, primary.Conninfo(), "", "a", "b", "c")
	a, b, c := all[0], all[1], all[2]
	waitShared(t, all...)
	for _, name := range []string{"moved", "dropped"} {
		scene.Command(t, a, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
	}
	before := scene.ProxySlot(t, a, "moved").Restart
	a.Kill9(t)
	standby := scene.StandbyOf(t, primary, b, "s1", "moved")
	scene.Fill(t, primary, 40)
	pgtest.WaitCaughtUp(t, primary, standby)
	scene.Command(t, c, "DROP_REPLICATION_SLOT dropped")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to move on", func() (bool, error) {
		return scene.ProxySlot(t, c, "moved").Restart > before+32<<20, nil
	})
	if names := scene.Status(t, c).Cluster.DroppedUnconfirmed; !slices.Equal(names, []string{"dropped"}) {
		t.Errorf("drops that are not confirmed: %v", names)
	}

	a.Start(t)
	waitShared(t, all...)
	for _, p := range all {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to know what became of the slots", func() (bool, error) {
			s := scene.ProxySlot(t, p, "moved")
			return s.Owner == "b" && s.Restart > before+32<<20 && len(s.Unconfirmed) == 0 &&
				len(s.KeptBy) == 3 && scene.ProxySlot(t, p, "dropped").Name == "", nil
		})
	}
	if names := scene.Status(t, c).Cluster.DroppedUnconfirmed; len(names) != 0 {
		t.Errorf("drops that are not confirmed: %v", names)
	}
	scene.Command(t, a, "CREATE_REPLICATION_SLOT dropped PHYSICAL") // the name is free, and taken again everywhere
	wantRefusal(t, c, "CREATE_REPLICATION_SLOT dropped PHYSICAL", "42710")

	wantRefusal(t, c, "DROP_REPLICATION_SLOT moved", "55006")
	done := make(chan error, 1)
	go func() {
		_, err := pgtest.Query(t.Context(), c.Conninfo("replication=true"), "DROP_REPLICATION_SLOT moved WAIT")
		done <- err
	}()
	standby.Stop(t, pgtest.Fast)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if s := scene.ProxySlot(t, p, "moved"); s.Name != "" {
			t.Errorf("%s still has %+v", p.Name, s)
		}
	}
}

// WAL that one proxy can't keep for a slot is not lost while another one keeps it. The standby comes back to the proxy
// that has no more of it, and is served from the other.
func TestSlotKeptElsewhere(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 0", "max_wal_size = 16MB"))
	all := scene.ClusterOf(t, primary.Conninfo(), "wal: {keep_size: 16MB, max_slot_wal_keep_size: 1GB, retain_until_standbys: 0}\n", "a", "b")
	a, b := all[0], all[1]
	waitShared(t, a, b)
	a.Replace(t, "1GB", "20MB")
	a.Signal(syscall.SIGHUP)
	scene.Command(t, b, "CREATE_REPLICATION_SLOT x PHYSICAL RESERVE_WAL")
	standby := scene.StandbyOf(t, primary, a, "s1", "x")
	primary.Exec(t, scene.LoadTable)
	pgtest.WaitCaughtUp(t, primary, standby)
	standby.Stop(t, pgtest.Fast)
	at := primary.CurrentLSN(t)
	scene.Fill(t, primary, 150) // more than the tail in memory, which serves as well
	removed(t, primary, at+1<<20)
	end := primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "only b to keep it", func() (bool, error) {
		here, st := scene.ProxySlot(t, a, "x"), scene.Status(t, a)
		return here.Status == "unreserved" && slices.Equal(here.KeptBy, []string{"b"}) && st.LostSlots == 0 &&
			st.Store.Oldest > at+1<<20 && st.Store.Flushed >= end, nil
	})
	standby.Start(t)
	pgtest.WaitCaughtUp(t, primary, standby)
	pgtest.EqualData(t, primary, standby)
	if f := scene.Status(t, a).Backfill; f.Segments == 0 || f.Failed != 0 {
		t.Errorf("backfill %+v", f)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both to keep it again", func() (bool, error) {
		return slices.Equal(scene.ProxySlot(t, a, "x").KeptBy, []string{"a", "b"}), nil
	})
}

// The two connections of pg_basebackup reach two proxies: both know the system, and have the WAL since the
// backup began.
func TestBaseBackupOverTwoProxies(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	all := scene.ClusterOf(t, primary.Conninfo(), "", "a", "b")
	waitShared(t, all...)
	load := scene.StartLoad(t, primary)
	load.WaitCommits(t, 100)
	port, counts := scene.Alternate(t, all)
	for _, extra := range [][]string{nil, {"-C", "--slot=backup"}} {
		dir := in.TempDir(t)
		backup := filepath.Join(dir, "backup")
		args := append([]string{
			"-D", backup, "-d", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", port), "--checkpoint=fast", "--no-sync",
			"-X", "stream",
		}, extra...)
		in.RunTool(t, dir, "pg_basebackup", args...)
		in.RunTool(t, dir, "pg_verifybackup", backup)
	}
	load.StopLoad(t)
	if n := counts(); n[0] < 2 || n[1] < 2 {
		t.Errorf("connections to the proxies: %v", n)
	}
	for _, p := range all {
		if s := scene.ProxySlot(t, p, "backup"); s.Name == "" || s.Temporary || s.Restart == 0 {
			t.Errorf("the slot at %s: %+v", p.Name, s)
		}
	}
}
