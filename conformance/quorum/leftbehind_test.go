package quorum

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// soon bounds how long commits may wait for a standby that is back: 5 s, and the slack of a busy machine. Without a
// word about the session that it left they wait for wal_sender_timeout, a minute.
const soon = 15 * time.Second

// leaver is a standby s1 that reaches its proxy over a way that forgets, and the primary whose commits wait for it.
type leaver struct {
	*scene.QuorumSite
	s1  *pgtest.Server
	way *scene.Leg
}

// newLeaver starts s1 behind of, one of the proxies that follow site's primary.
func newLeaver(t *testing.T, site *scene.Site, of *pgtest.Proxy, slot string, sync string) *leaver {
	t.Helper()
	l := &leaver{QuorumSite: &scene.QuorumSite{Site: site}, way: scene.LegTo(t, of.Port, 1)}
	site.Primary.Exec(t, "CREATE TABLE q (n int)")
	l.s1 = site.In.Standby(t, pgtest.StandbyOptions{
		From: site.Primary, PrimaryConninfo: l.over(l.way, of), SlotName: slot,
	}, pgtest.Name("s1"), pgtest.Settings("wal_retrieve_retry_interval = 100ms"))
	scene.Attached(t, of, "s1")
	site.Primary.WaitsFor(t, sync)
	l.Begin(t, "on").Released(t)
	return l
}

// over is a proxy's conninfo by a way.
func (l *leaver) over(w *scene.Leg, of *pgtest.Proxy) string {
	return of.Conninfo() + " port=" + strconv.Itoa(w.Port)
}

// leave ends the walreceiver of s1, of which its proxy hears nothing. It is started again at once.
func (l *leaver) leave(t *testing.T) {
	t.Helper()
	pid := receiver(t, l.s1)
	l.way.Forget(0)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// receiver waits for a standby's walreceiver.
func receiver(t *testing.T, s *pgtest.Server) (pid int) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "a walreceiver of "+s.Name, func() (bool, error) {
		pid, _ = strconv.Atoi(s.Scalar(t, "SELECT coalesce((SELECT pid FROM pg_stat_wal_receiver), 0)"))
		return pid != 0, nil
	})
	return pid
}

// releasedSoon waits for a commit, and says how long that took.
func releasedSoon(t *testing.T, c *scene.Commit, since time.Time) {
	t.Helper()
	select {
	case err := <-c.Done:
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
		t.Logf("the commit returned %.1f s after the standby was back", time.Since(since).Seconds())
	case <-time.After(soon):
		t.Fatalf("the commit waits for more than %v", soon)
	}
}

// heldBy waits until a proxy says what holds the voter s1, and that nothing can be covered.
func heldBy(t *testing.T, proxy *pgtest.Proxy) {
	t.Helper()
	const words = "held by an older session from 127.0.0.1, silent since "
	pgtest.WaitFor(t, 10*time.Second, proxy.Name+" to say what holds s1", func() (bool, error) {
		q := scene.Status(t, proxy).Quorum
		for _, v := range q.Voters {
			if v.Name == "s1" && !strings.HasPrefix(v.Standing, words) {
				return false, nil
			}
		}
		if l := q.Levels[1]; l.Satisfiable || !strings.Contains(l.Why, words) {
			return false, fmt.Errorf("flush is satisfiable: %v, %q", l.Satisfiable, l.Why)
		}
		return true, nil
	})
}

// A standby whose connection was forgotten on the way is back at once, and its old session says nothing more. That one
// is ended, and commits go on within 5 s rather than after wal_sender_timeout.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	for name, slot := range map[string]string{"WithoutSlot": "", "WithSlot": "s1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			po := pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)") + "slots: {auto_create: true}\n"}
			site := scene.NewSiteWith(t, pgtest.Usual(t), po)
			l := newLeaver(t, site, site.Proxy, slot, "proxy")
			l.leave(t)
			c, since := l.Begin(t, "on"), time.Now()
			heldBy(t, site.Proxy)
			releasedSoon(t, c, since)
			scene.Attached(t, site.Proxy, "s1")
			scene.WaitSatisfiable(t, site.Proxy)
			if n := strings.Count(site.Proxy.Log(), "ended a session that its standby has left"); n != 1 {
				t.Errorf("%d sessions were ended", n)
			}
		})
	}
}

// The same where the standby comes back to another proxy: the one that serves the old session ends it.
func TestLeftBehindElsewhere(t *testing.T) {
	t.Parallel()
	for name, slot := range map[string]string{"WithoutSlot": "", "WithSlot": "s1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pgtest.Usual(t)
			primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
			all := scene.ClusterOf(t, primary.Conninfo(),
				scene.RuleFile("ANY 1 (s1)")+"slots: {auto_create: true}\n", "a", "b")
			l := newLeaver(t, &scene.Site{In: in, Primary: primary}, all[0], slot, "ANY 1 (a, b)")
			scene.WaitSatisfiable(t, all...)
			l.s1.Set(t, "primary_conninfo = '"+all[1].Conninfo()+"'")
			l.way.Forget(0)
			l.s1.Reload() // which ends its walreceiver
			c, since := l.Begin(t, "on"), time.Now()
			heldBy(t, all[0])
			heldBy(t, all[1])
			releasedSoon(t, c, since)
			scene.Attached(t, all[1], "s1")
		})
	}
}

// The same beside a member of the release before. Where that has the younger session, the older one is ended as soon.
// It ends none itself, so an older one there lasts for wal_sender_timeout, as long as on a primary.
func TestLeftBehindBesideTheReleaseBefore(t *testing.T) {
	t.Parallel()
	_, before := pgtest.PreviousRelease(t)
	const timeout = 10 * time.Second
	for name, left := range map[string]int{"here": 0, "there": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, sender := pgtest.Usual(t), "wal_sender_timeout = 1min"
			if left == 1 {
				sender = fmt.Sprintf("wal_sender_timeout = %dms", timeout.Milliseconds())
			}
			primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB", sender))
			all := scene.ClusterThat(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Binary: before},
				scene.RuleFile("ANY 1 (s1)")+scene.AccessFile(), "a", "b")
			all[0].Become(t, pgtest.Binary(t))
			l := newLeaver(t, &scene.Site{In: in, Primary: primary}, all[left], "", "ANY 1 (a, b)")
			scene.WaitSatisfiable(t, all...)
			l.s1.Set(t, "primary_conninfo = '"+all[1-left].Conninfo()+"'")
			l.way.Forget(0)
			l.s1.Reload()
			c, since := l.Begin(t, "on"), time.Now()
			if left == 0 {
				releasedSoon(t, c, since)
			} else {
				c.Released(t)
				if took := time.Since(since); took > timeout+soon {
					t.Errorf("the commit waited for %v", took)
				}
			}
			scene.Attached(t, all[1-left], "s1")
		})
	}
}

// Two living servers of one name do not end each other's sessions, and one that stands still for two seconds, or has
// much to read, is spared as well.
func TestLivingSessionsOfOneName(t *testing.T) {
	t.Parallel()
	po := pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)")}
	site := scene.NewSiteWith(t, pgtest.Usual(t), po)
	l := newLeaver(t, site, site.Proxy, "", "proxy")
	twin := site.In.Standby(t, pgtest.StandbyOptions{From: site.Primary, PrimaryConninfo: site.Proxy.Conninfo()},
		pgtest.Name("twin"), pgtest.Settings("wal_retrieve_retry_interval = 100ms", "cluster_name = 's1'"))
	twin.Set(t, "primary_conninfo = '"+site.Proxy.Conninfo()+" application_name=s1'")
	twin.Reload()
	scene.Attached(t, site.Proxy, "s1", "s1")
	began := scene.Status(t, site.Proxy).Standbys

	old := receiver(t, l.s1)
	if err := syscall.Kill(old, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(old, syscall.SIGCONT) })
	left := receiver(t, twin)
	if err := syscall.Kill(left, syscall.SIGTERM); err != nil { // and is back as the younger one
		t.Fatal(err)
	}
	pgtest.WaitFor(t, time.Minute, "the twin to be back", func() (bool, error) { return receiver(t, twin) != left, nil })
	stopped := time.Now()
	pgtest.WaitFor(t, time.Minute, "two seconds of standing still", func() (bool, error) {
		return time.Since(stopped) >= 2*time.Second, nil
	})
	_ = syscall.Kill(old, syscall.SIGCONT)
	site.Primary.Exec(t, "SET synchronous_commit = off; INSERT INTO q SELECT generate_series(1, 500000)") // 30 MB
	l.Begin(t, "on").Released(t)
	rows := scene.Attached(t, site.Proxy, "s1", "s1")
	for _, was := range began {
		if was.PID == rows[0].PID {
			return
		}
	}
	t.Errorf("the session that stood still is gone: %+v, then %+v\n%s", began, rows, site.Proxy.Log())
}
