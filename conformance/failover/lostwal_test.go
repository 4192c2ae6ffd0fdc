package failover

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// lossy is a primary whose volume is set back, behind a proxy with a standby.
type lossy struct {
	*scene.Site
	s1     *pgtest.Server
	revert func(testing.TB)
	size   lsn.SegSize
	lost   lsn.LSN // end of what proxy and standby have, and the primary will not have again
}

// newLossy takes the snapshot, lets proxy and standby have more than that, and stops the primary.
func newLossy(t *testing.T, ahead func(p *pgtest.Server), options pgtest.ProxyOptions) *lossy {
	t.Helper()
	in := pgtest.Usual(t)
	c := &lossy{Site: &scene.Site{In: in, Primary: in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))}}
	c.size = c.Primary.SegSize(t)
	c.Primary.Exec(t, "CREATE TABLE t (n int)")
	options.Upstream = c.Primary.Conninfo()
	c.Proxy = pgtest.StartProxy(t, options)
	c.s1 = scene.StandbyOf(t, c.Primary, c.Proxy, "s1", "")
	c.Primary.Exec(t, "INSERT INTO t VALUES (1)")
	pgtest.WaitCaughtUp(t, c.Primary, c.s1)
	c.Primary.Stop(t, pgtest.Immediate)
	c.revert = c.Primary.Snapshot(t)
	c.Primary.Start(t)
	c.Proxy.WaitReady(t)
	c.Primary.Exec(t, "INSERT INTO t VALUES (2)")
	ahead(c.Primary)
	pgtest.WaitCaughtUp(t, c.Primary, c.s1)
	c.lost = c.Primary.CurrentLSN(t)
	c.has(t, c.lost)
	c.Primary.Stop(t, pgtest.Immediate)
	return c
}

func (c *lossy) has(t *testing.T, at lsn.LSN) { t.Helper(); flushed(t, c.Proxy, at) }

// flushed waits until a proxy has WAL up to at.
func flushed(t *testing.T, p *pgtest.Proxy, at lsn.LSN) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to have it all", func() (bool, error) {
		return scene.Status(t, p).Store.Flushed >= at, nil
	})
}

// waitLack waits until a proxy, which may be starting, says that it follows nobody because of WAL that is lacking.
func waitLack(t *testing.T, p *pgtest.Proxy) admin.Status {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to refuse its upstream", func() (bool, error) {
		_, body, err := p.Get(t.Context(), "/status")
		return err == nil && strings.Contains(string(body), `"lack":`), nil
	})
	return scene.Status(t, p)
}

// noBackup asks a proxy for a base backup, of a primary that is refused for the reason (ruling R43).
func noBackup(t *testing.T, p *pgtest.Proxy, reasons ...string) {
	t.Helper()
	_, err := pgtest.Query(t.Context(), p.Conninfo("replication=true"), "BASE_BACKUP")
	if err == nil || !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(err.Error(), r) }) {
		t.Errorf("a base backup of a primary that is refused: %v", err)
	}
}

// refused waits until the proxy says that the primary has lost WAL, and looks that nothing of it came through.
func (c *lossy) refused(t *testing.T) {
	t.Helper()
	st := waitLack(t, c.Proxy)
	words := "the primary has lost WAL from " + st.Upstream.Lack.From.String() + " to " + st.Upstream.Lack.To.String()
	if l := st.Upstream.Lack; !l.Lost || l.Timeline != 1 || l.From >= l.To || l.To > st.Store.Received ||
		!strings.Contains(st.Upstream.LastError, words) || !strings.Contains(strings.Join(st.Warnings, "\n"), words) {
		t.Errorf("%+v, %s, %q", l, st.Upstream.LastError, st.Warnings)
	}
	if code, body, err := c.Proxy.Get(t.Context(), "/readyz"); code != 503 {
		t.Errorf("/readyz while the only host is refused: %d, %s, %v", code, body, err)
	}
	noBackup(t, c.Proxy, "the primary has lost WAL from ", "differs")
	out, err := exec.Command(pgtest.Binary(t), "check", "--upstream", c.Primary.Conninfo(), "--data-dir", c.Proxy.DataDir,
		"--name", c.Proxy.Name).CombinedOutput()
	if err == nil || !strings.Contains(string(out), words) {
		t.Errorf("check of a primary that the proxy refuses: %v\n%s", err, out)
	}
	if !c.s1.Running() {
		return
	}
	if rows := c.s1.Scalar(t, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"); strings.Contains(rows, "100") {
		t.Errorf("the standby has rows of two histories: %s", rows)
	}
}

// A primary that comes back with less WAL on its timeline is refused, with the same words however it happens, without a
// rule as well; the standby is not poisoned. Where it has written beyond what the proxy has, the bytes tell.
func TestPrimaryLostWAL(t *testing.T) {
	t.Parallel()
	less := func(*pgtest.Server) {}
	segments := func(p *pgtest.Server) {
		p.Exec(t, "SELECT pg_switch_wal()")
		p.Exec(t, "INSERT INTO t VALUES (3)")
		p.Exec(t, "CHECKPOINT")
		p.Exec(t, "SELECT pg_switch_wal()") // and nothing after it: the end is a segment's
	}
	for name, c := range map[string]struct {
		ahead func(*pgtest.Server)
		after func(*testing.T, *lossy) // the primary is back
		down  bool                     // the proxy is, meanwhile
	}{
		"less":                            {less, func(*testing.T, *lossy) {}, false},
		"less, while the proxy was down":  {less, func(*testing.T, *lossy) {}, true},
		"segments less":                   {segments, func(*testing.T, *lossy) {}, false},
		"more, while the proxy was down":  {less, func(t *testing.T, c *lossy) { c.overtake(t) }, true},
		"segments less, then more of all": {segments, func(t *testing.T, c *lossy) { c.overtake(t) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t, c.ahead, pgtest.ProxyOptions{})
			if c.down {
				l.Proxy.Terminate(t)
			}
			l.revert(t)
			l.Primary.Start(t)
			c.after(t, l)
			if c.down {
				l.Proxy.StartNoWait(t)
			}
			l.refused(t)
		})
	}
}

// overtake lets the primary write more than it had lost.
func (c *lossy) overtake(t *testing.T) {
	t.Helper()
	for n := 100; c.Primary.CurrentLSN(t) <= c.lost+lsn.LSN(c.size); n++ {
		c.Primary.Exec(t, "INSERT INTO t SELECT 100 FROM generate_series(1, 1000)")
		if n%4 == 0 {
			c.Primary.Exec(t, "SELECT pg_switch_wal()")
		}
	}
}

// The operator gives the lost WAL up: the store's own is set aside at the next start, and the proxy goes on with the
// primary. The word is used up, the next loss is refused anew.
func TestLostWALIsGivenUp(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(*pgtest.Server) {}, pgtest.ProxyOptions{})
	c.revert(t)
	c.Primary.Start(t)
	c.refused(t)
	c.s1.Stop(t, pgtest.Fast)
	c.Proxy.Program(t, "accept-timeline", "1", "--data-dir", c.Proxy.DataDir)
	scene.Logged(t, "the proxy", c.Proxy.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	c.Proxy.Terminate(t)
	c.Proxy.Start(t)
	aside, err := filepath.Glob(filepath.Join(c.Proxy.DataDir, "diverged", "1-*-lost", "0*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("nothing is set aside: %v, %v", aside, err)
	}
	c.Primary.Exec(t, "INSERT INTO t VALUES (200)")
	anew := scene.StandbyOf(t, c.Primary, c.Proxy, "anew", "")
	pgtest.WaitCaughtUp(t, c.Primary, anew)
	pgtest.EqualData(t, c.Primary, anew)
	if st := scene.Status(t, c.Proxy); st.Upstream.Lack != nil {
		t.Errorf("%+v", st.Upstream.Lack)
	}
	c.Primary.Stop(t, pgtest.Immediate)
	c.revert(t)
	c.Primary.Start(t)
	c.refused(t)
}

// The primary has written beyond what the proxy has when the proxy asks it, so that only the bytes tell. The operator's
// word is as good then.
func TestOvertakenLostWALIsGivenUp(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(*pgtest.Server) {}, pgtest.ProxyOptions{})
	c.Proxy.Terminate(t)
	c.s1.Stop(t, pgtest.Fast)
	c.revert(t)
	c.Primary.Start(t)
	c.overtake(t)
	c.Proxy.StartNoWait(t)
	c.refused(t)
	c.givesUp(t)
}

// A primary without fsync is killed, and its machine with it: what its kernel had not written yet is gone.
func TestLostWALAfterACrashWithoutFsync(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(p *pgtest.Server) { p.Exec(t, "INSERT INTO t SELECT 3 FROM generate_series(1, 1000)") },
		pgtest.ProxyOptions{})
	path := filepath.Join(c.Primary.WALDir(), c.size.FileName(1, c.size.Segno(c.lost-1)))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	from := int64(c.lost-1) % int64(c.size) / 8192 * 8192 // its last page never reached the disk
	if _, err := f.WriteAt(make([]byte, 8192), from); err != nil {
		t.Fatal(err)
	}
	c.Primary.Start(t)
	c.refused(t)
}

// awayMember are two proxies of one rule, of which a is away. Its standby s1 is behind b. What the primary writes from
// now on is lost by revert, once it is stopped.
type awayMember struct {
	*scene.Site
	a, b   *pgtest.Proxy
	s1     *pgtest.Server
	revert func(testing.TB)
}

// newAwayMember makes them; more goes into both configuration files.
func newAwayMember(t *testing.T, more string) *awayMember {
	t.Helper()
	in := pgtest.Usual(t)
	c := &awayMember{Site: &scene.Site{In: in, Primary: in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))}}
	c.Primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, c.Primary.Conninfo(), scene.RuleFile("ANY 1 (s1)")+more, "a", "b")
	c.a, c.b = all[0], all[1]
	c.s1 = scene.StandbyOf(t, c.Primary, c.b, "s1", "")
	c.Primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	c.Primary.Reload()
	scene.WaitSatisfiable(t, all...)
	c.Primary.Exec(t, "INSERT INTO q VALUES (1)")
	pgtest.WaitCaughtUp(t, c.Primary, c.s1)
	c.a.Terminate(t)
	c.Primary.Stop(t, pgtest.Immediate)
	c.revert = c.Primary.Snapshot(t)
	c.Primary.Start(t)
	c.b.WaitReady(t)
	scene.WaitSatisfiable(t, c.b)
	return c
}

// One member was down when the primary lost WAL, so that its own store says nothing; the other one knows. The lost WAL
// is the only one that a promotion is proven with.
func TestOtherMemberKnowsOfLostWAL(t *testing.T) {
	t.Parallel()
	c := newAwayMember(t, "")
	primary, a, b, s1 := c.Primary, c.a, c.b, c.s1
	all := []*pgtest.Proxy{a, b}
	primary.Exec(t, "INSERT INTO q VALUES (2)")
	primary.Exec(t, "SELECT pg_switch_wal()")
	primary.Exec(t, "INSERT INTO q VALUES (3)")
	pgtest.WaitCaughtUp(t, primary, s1)
	lost := primary.CurrentLSN(t)
	primary.Stop(t, pgtest.Immediate)
	c.revert(t)
	primary.Start(t)
	a.StartNoWait(t)
	for _, p := range all {
		st := waitLack(t, p)
		if l := st.Upstream.Lack; !l.Lost || l.To > lost || (l.By == "b") != (p == a) {
			t.Errorf("%s: %+v", p.Name, l)
		}
		noBackup(t, p, "the primary has lost WAL from ")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := pgtest.Query(ctx, primary.Conninfo(), "INSERT INTO q VALUES (100)"); err == nil {
		t.Error("a commit on the primary that lost WAL returned")
	}
	primary.Stop(t, pgtest.Immediate)
	for _, p := range all {
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	out := b.Program(t, "tail", "--timeline", "1", "--candidate", "s1", "--data-dir", b.DataDir, "--wait", "60s")
	if !strings.Contains(out, "s1: proven") {
		t.Errorf("%s", out)
	}
	s1.Promote(t)
	if rows := s1.Scalar(t, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM q"); rows != "1 2 3" {
		t.Errorf("the promoted standby has %s", rows)
	}
}

// givesUp gives the operator's word: the store's WAL is set aside at the next start, and the proxy goes on.
func (c *lossy) givesUp(t *testing.T) {
	t.Helper()
	c.Proxy.Program(t, "accept-timeline", "1", "--data-dir", c.Proxy.DataDir)
	scene.Logged(t, "the proxy", c.Proxy.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	c.Proxy.Terminate(t)
	c.Proxy.Start(t)
	c.goesOn(t)
}

// goesOn looks that one loss is given up, and that a standby of the primary as it is now follows through the proxy.
func (c *lossy) goesOn(t *testing.T) {
	t.Helper()
	anew := scene.StandbyOf(t, c.Primary, c.Proxy, "anew", "")
	pgtest.WaitCaughtUp(t, c.Primary, anew)
	pgtest.EqualData(t, c.Primary, anew)
	if st := scene.Status(t, c.Proxy); st.Upstream.Lack != nil || len(st.GivenUp) != 1 {
		t.Errorf("%+v, %+v", st.Upstream.Lack, st.GivenUp)
	}
}

// One of several hosts is a primary that has lost WAL, and has written more since. It is refused for that at each try,
// also at those in which its bytes are not looked at again.
func TestLossIsToldAmongSeveralHosts(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(*pgtest.Server) {}, pgtest.ProxyOptions{})
	c.Proxy.Terminate(t)
	c.revert(t)
	c.Primary.Start(t)
	c.overtake(t)
	c.Proxy.SetArgs("--upstream", scene.Hosts(c.Primary, c.s1))
	c.Proxy.StartNoWait(t)
	first := waitLack(t, c.Proxy).Upstream.Reconnects
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "three more tries", func() (bool, error) {
		st := scene.Status(t, c.Proxy)
		if text := st.Upstream.LastError; text != "" && !strings.Contains(text, "the primary has lost WAL from ") {
			t.Fatalf("after %d tries: %s", st.Upstream.Reconnects, text)
		}
		if st.Upstream.Lack != nil && strings.Contains(strings.Join(st.Warnings, "\n"), "stopped for good") {
			t.Errorf("the loss has a warning of its own: %q", st.Warnings)
		}
		return st.Upstream.Reconnects >= first+3, nil
	})
}
