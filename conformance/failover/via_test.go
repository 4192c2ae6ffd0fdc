package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// One proxy pulls from the primary, the others stream from it. When it dies another one takes over without a gap,
// although the primary keeps no more WAL than the slots of the three hold (rulings R7, R21, R25).
func TestOnePuller(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 0", "max_wal_size = 64MB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 2 (s1, s2, s3)")+"upstream:\n  via: cluster\n", "a", "b", "c")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	var standbys []*pgtest.Server
	for i, p := range all {
		standbys = append(standbys, scene.StandbyOf(t, primary, p, []string{"s1", "s2", "s3"}[i], ""))
	}
	first := scene.Puller(t, primary, all)
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b, c)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	for _, level := range []string{"remote_write", "on", "remote_apply"} {
		s.Begin(t, level).Released(t)
	}
	noMemberIsAStandby(t, all)
	waitSlotsFollow(t, primary, 3)

	// The puller dies while much is written, which nobody but the slots holds back.
	first.Kill9(t)
	c := s.Begin(t, "on")
	primary.Exec(t, "SET synchronous_commit = local; CREATE TABLE big AS SELECT g, repeat('x', 500) FROM "+
		"generate_series(1, 100000) g; CHECKPOINT")
	second := scene.Puller(t, primary, all)
	c.Released(t) // one of the standbys is behind a proxy that is dead
	for i, p := range all {
		if p != first {
			pgtest.WaitCaughtUp(t, primary, standbys[i])
			pgtest.EqualTable(t, primary, standbys[i], "big")
		}
	}

	// It comes back: what it missed it gets from the one that pulls now.
	first.Start(t)
	if scene.Puller(t, primary, all) == first { // the third may: on a busy machine nothing is heard for seconds
		t.Errorf("%s took over from %s, which did nothing wrong", first.Name, second.Name)
	}
	i := slices.Index(all, first)
	pgtest.WaitCaughtUp(t, primary, standbys[i])
	pgtest.EqualTable(t, primary, standbys[i], "big")
	waitSlotsFollow(t, primary, 3)

	// A restart of the primary changes nothing, once it is over.
	primary.Restart(t)
	scene.Puller(t, primary, all)
	s.Begin(t, "remote_apply").Released(t)
	for i := range all {
		pgtest.WaitCaughtUp(t, primary, standbys[i])
		pgtest.EqualData(t, primary, standbys[i])
	}
}

// A member with an empty store that follows another one serves walsenders as soon as it is ready. Where one of the
// hosts is down they wait until it has found the primary. That its slot there is made is no loss.
func TestViaClusterServesAtOnce(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	hosts := fmt.Sprintf("%s host=127.0.0.1,127.0.0.1 port=%d,%d", primary.Conninfo(), primary.Port, pgtest.FreePort(t))
	all := scene.ClusterOf(t, hosts, "upstream:\n  via: cluster\n", "a", "b", "c")
	for _, p := range all {
		if rows := scene.Command(t, p, "IDENTIFY_SYSTEM"); len(rows) != 1 {
			t.Errorf("%s answers %q", p.Name, rows)
		}
	}
	first := scene.Puller(t, primary, all)
	for _, p := range all {
		if p != first && strings.Contains(p.Log(), "somebody dropped the slot") {
			t.Errorf("%s made its slot, and says that somebody had dropped it", p.Name)
		}
	}
}

// noMemberIsAStandby fails the test where a member that streams from another one is shown as a standby.
func noMemberIsAStandby(t *testing.T, all []*pgtest.Proxy) {
	t.Helper()
	for _, p := range all {
		st := scene.Status(t, p)
		for _, row := range st.Standbys {
			if slices.ContainsFunc(all, func(m *pgtest.Proxy) bool { return m.Name == row.ApplicationName }) {
				t.Errorf("%s shows member %s as a standby: %+v", p.Name, row.ApplicationName, row)
			}
		}
		for _, v := range st.Quorum.Voters {
			if v.Standing == "a member's name: its store votes" {
				t.Errorf("%s shows a session of member %s as a voter's: %+v", p.Name, v.Name, v)
			}
		}
	}
}

// A failover behind one puller: all proxies and standbys follow, and the clients of each proxy find the new
// primary, although two of the proxies do not stream from it.
func TestOnePullerFailover(t *testing.T) {
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "wal_log_hints = on")
	primary := in.Primary(t, settings)
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("candidate"))
	all := scene.ClusterOf(t, scene.Hosts(primary, candidate), "upstream:\n  via: cluster\n  connect_wait: 50s\n", "a", "b", "c")
	var standbys []*pgtest.Server
	for i, p := range all {
		standbys = append(standbys, scene.StandbyOf(t, primary, p, fmt.Sprintf("s%d", i+1), ""))
	}
	viaPuller := func(server *pgtest.Server) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, "one of the proxies to pull", func() (bool, error) {
			n := 0
			for _, row := range pgtest.PgStatReplication(t, server) {
				if row.ApplicationName != "candidate" {
					n++
				}
			}
			members := 0
			for _, p := range all {
				if u := scene.Status(t, p).Upstream; u.State == admin.Streaming && u.Member != "" {
					members++
				}
			}
			return n == 1 && members == 2, nil
		})
	}
	viaPuller(primary)
	for _, p := range all {
		p.SQL(t, "CREATE TABLE before_"+p.Name+" AS SELECT 1")
	}
	for _, s := range append(standbys, candidate) {
		pgtest.WaitCaughtUp(t, primary, s)
	}
	primary.Kill9(t)
	candidate.Promote(t)
	for _, p := range all {
		p.SQL(t, "CREATE TABLE after_"+p.Name+" AS SELECT 1")
	}
	viaPuller(candidate)
	for i, p := range all {
		pgtest.WaitCaughtUp(t, candidate, standbys[i])
		pgtest.EqualData(t, candidate, standbys[i])
		if got := scene.Status(t, p).Store.Timeline; got != 2 {
			t.Errorf("%s is on timeline %s", p.Name, got)
		}
	}
}

// The puller's leg to the primary is silently cut: nothing comes, nothing is refused. It lets go for the other member,
// which reaches the primary, and commits go on within 15 s, not after receiver_timeout; what only a relay says keeps
// nobody ready. When the leg is mended nothing changes.
func TestSilentCutOfThePuller(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	ways := map[string]*scene.Leg{"a": scene.LegTo(t, primary.Port, 1), "b": scene.LegTo(t, primary.Port, 1)}
	all := scene.ClusterEach(t, pgtest.ProxyOptions{}, scene.RuleFile("ANY 1 (s1)")+"upstream:\n  via: cluster\n",
		func(name string) string { return primary.Conninfo() + fmt.Sprintf(" port=%d", ways[name].Port) }, "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	first := scene.Puller(t, primary, all)
	other := all[1-slices.Index(all, first)]
	scene.StandbyOf(t, primary, other, "s1", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "on").Released(t)

	ways[first.Name].Set(scene.Weather{Stall: true})
	began := time.Now()
	c := s.Begin(t, "on")
	select {
	case err := <-c.Done:
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("commits went on after %.1f s", time.Since(began).Seconds())
	case <-time.After(30 * time.Second): // 15 s, on a machine that is not busy
		t.Fatal("the commit still waits")
	}
	streamsFrom := func() {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, first.Name+" to stream from "+other.Name, func() (bool, error) {
			u := scene.Status(t, first).Upstream
			return u.State == admin.Streaming && u.Member == other.Name && scene.Status(t, other).Upstream.Member == "", nil
		})
	}
	streamsFrom()
	ways[first.Name].Set(scene.Weather{})
	s.Begin(t, "on").Released(t)
	streamsFrom()
}

// The puller's connections to the primary are forgotten on the way, as by a NAT: nobody is told, and new ones work. The
// other member streams from the primary beside it, and commits go on within 15 s, not after receiver_timeout.
func TestForgottenStreamOfThePuller(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	ways := map[string]*scene.Leg{"a": scene.LegTo(t, primary.Port, 1), "b": scene.LegTo(t, primary.Port, 1)}
	all := scene.ClusterEach(t, pgtest.ProxyOptions{}, scene.RuleFile("ANY 1 (s1)")+"upstream:\n  via: cluster\n",
		func(name string) string { return primary.Conninfo() + fmt.Sprintf(" port=%d", ways[name].Port) }, "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	first := scene.Puller(t, primary, all)
	other := all[1-slices.Index(all, first)]
	scene.StandbyOf(t, primary, other, "s1", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "on").Released(t)
	ways[first.Name].Forget(0)
	began := time.Now()
	c := s.Begin(t, "on")
	select {
	case err := <-c.Done:
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("commits went on after %.1f s", time.Since(began).Seconds())
	case <-time.After(30 * time.Second): // 15 s, on a machine that is not busy
		t.Fatal("the commit still waits")
	}
}

// What is damaged at rest comes from another member, when the primary has removed it.
func TestRepairFromMember(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 0", "max_wal_size = 64MB"))
	all := scene.ClusterOf(t, primary.Conninfo(), "wal:\n  keep_size: 1GB\n", "a", "b")
	late := scene.StandbyOf(t, primary, all[0], "late", "")
	size := primary.SegSize(t)
	pgtest.WaitCaughtUp(t, primary, late)
	late.Stop(t, pgtest.Fast)
	at := size.Floor(primary.CurrentLSN(t)) + lsn.LSN(size)
	primary.Exec(t, "CREATE TABLE big AS SELECT g, repeat('x', 500) FROM generate_series(1, 150000) g; "+
		"SELECT pg_switch_wal(); CHECKPOINT")
	waitSlotsFollow(t, primary, 2)
	if code := all[0].Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	scene.Spoil(t, all[0], size, at+100_000)
	primary.Exec(t, "CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT")
	gone := primary.Scalar(t, "SELECT count(*) FROM pg_ls_waldir() WHERE name = '"+size.FileName(1, size.Segno(at))+"'")
	if gone != "0" {
		t.Fatalf("the primary still has %s", size.FileName(1, size.Segno(at)))
	}
	all[0].Start(t)
	late.Start(t)
	pgtest.WaitCaughtUp(t, primary, late)
	pgtest.EqualTable(t, primary, late, "big")
	if b := scene.Status(t, all[0]).Backfill; b.Damaged != 1 || b.Segments < 1 || b.Failed != 0 {
		t.Errorf("backfill %+v", b)
	}
}

// waitSlotsFollow waits until the n slots of the proxies are near the end of WAL, although one of them is
// used by a stream at most.
func waitSlotsFollow(t *testing.T, primary *pgtest.Server, n int) {
	t.Helper()
	at := primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "all slots to follow", func() (bool, error) {
		rows := primary.SQL(t, "SELECT restart_lsn FROM pg_replication_slots WHERE restart_lsn IS NOT NULL")
		for _, r := range rows {
			if l, err := lsn.Parse(r[0]); err != nil || l < at-1<<20 {
				return false, err
			}
		}
		return len(rows) == n, nil
	})
}
