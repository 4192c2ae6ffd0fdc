package failover

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

func newCluster(t *testing.T, in *pgtest.Install) *scene.Cluster {
	t.Helper()
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB", "wal_log_hints = on")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(c.Primary, c.Candidate), Config: "upstream: {connect_wait: 50s}\n", // a busy machine's failover
	})
	c.Primary.Exec(t, scene.LoadTable)
	return c
}

// freeze stops a standby's walreceiver where it is; the function that it returns lets it go on.
func freeze(t *testing.T, s *pgtest.Server) (thaw func()) {
	t.Helper()
	pid, err := strconv.Atoi(s.Scalar(t, "SELECT pid FROM pg_stat_wal_receiver"))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err != nil {
		t.Fatal(err)
	}
	thaw = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(thaw)
	return thaw
}

// A failover to a server that lacks WAL which the proxy has, and has sent: the proxy follows and moves that WAL aside.
// A standby that is behind the fork is led on without losing its connection. One that is beyond is refused as
// PostgreSQL refuses it, and comes back after pg_rewind through the proxy.
func TestFailoverForkBelow(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		behind, beyond := c.Standby(t, "behind"), c.Standby(t, "beyond")
		scene.Write(t, c.Primary, 50)
		c.Follows(t, c.Primary, 1, behind, beyond)
		before := c.Sessions(t)

		thaw := freeze(t, behind)
		scene.WriteWAL(t, c.Primary, 48) // more than socket buffers hold
		pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
		c.Candidate.Stop(t, pgtest.Fast)
		scene.Write(t, c.Primary, 50)
		pgtest.WaitCaughtUp(t, c.Primary, beyond)
		lost := c.Primary.CurrentLSN(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have it all", func() (bool, error) {
			return scene.Status(t, c.Proxy).Store.Flushed >= lost, nil
		})
		c.Primary.Kill9(t)
		c.Candidate.Start(t)
		c.Candidate.Promote(t)
		c.Follows(t, c.Candidate, 2)
		thaw()
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, behind)
		if after := c.Sessions(t); after["behind"] != before["behind"] {
			t.Errorf("the standby behind the fork lost its session %d: %v", before["behind"], after)
		}
		scene.Logged(t, "the standby beyond the fork", beyond.Log, "forked off current database system timeline 1 before")
		named := func() bool {
			return strings.Contains(strings.Join(scene.Status(t, c.Proxy).Warnings, "\n"), "standby beyond has WAL up to ")
		}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to be named", func() (bool, error) { return named(), nil })
		c.VerifyAside(t)
		if in.HasTools() {
			c.Rewind(t, beyond)
			scene.Write(t, c.Candidate, 50)
			c.Follows(t, c.Candidate, 2, behind, beyond)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to be named no more", func() (bool, error) {
				return !named(), nil
			})
		}
	})
}

// A planned switchover needs no rewind. The old primary's shutdown checkpoint reaches every standby, one of them is
// promoted, and the old primary comes back as a standby behind the proxy.
func TestSwitchover(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		one, two := c.Standby(t, "one"), c.Standby(t, "two")
		scene.Write(t, c.Primary, 50)
		c.Follows(t, c.Primary, 1, one, two)
		before := c.Sessions(t)
		began := time.Now()
		c.Primary.Stop(t, pgtest.Fast)
		if took := time.Since(began); took > scene.WalSenderTimeout/2 {
			t.Errorf("the primary took %v to stop", took)
		}
		c.Candidate.Promote(t)
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, one, two)
		after := c.Sessions(t)
		if after["one"] != before["one"] || after["two"] != before["two"] {
			t.Errorf("standbys lost their sessions: %v, then %v", before, after)
		}
		if aside, _ := filepath.Glob(filepath.Join(c.Proxy.DataDir, "diverged", "*")); len(aside) != 0 {
			t.Errorf("WAL was moved aside: %v", aside)
		}
		c.Primary.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: c.Proxy.Conninfo()})
		c.Primary.Start(t)
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, one, two, c.Primary)
	}, 15, 18)
}

// An old primary that comes back is not followed, not even while the new one is away, and no client gets
// to it. Clients wait for the new one instead of failing.
func TestOldPrimaryReturns(t *testing.T) {
	c := newCluster(t, pgtest.Usual(t))
	one := c.Standby(t, "one")
	scene.Write(t, c.Primary, 50)
	c.Follows(t, c.Primary, 1, one)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	c.Primary.Kill9(t)
	client := c.Session(t)
	c.Candidate.Promote(t)
	if got := <-client; got != c.Candidate.Name {
		t.Errorf("a client that came during the failover got %s", got)
	}
	c.Follows(t, c.Candidate, 2, one)

	c.Primary.Start(t)
	scene.Write(t, c.Primary, 50) // nobody must see this
	for range 2 {
		c.Candidate.Stop(t, pgtest.Fast)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the old primary to be refused", func() (bool, error) {
			return strings.Contains(scene.Status(t, c.Proxy).Upstream.LastError, "is behind recovery timeline 2"), nil
		})
		client = c.Session(t)
		c.Candidate.Start(t)
		if got := <-client; got != c.Candidate.Name {
			t.Errorf("a client that came while only the old primary was there got %s", got)
		}
		scene.Write(t, c.Candidate, 20)
		c.Follows(t, c.Candidate, 2, one)
	}
	scene.Logged(t, "the proxy", c.Proxy.Log, "upstream host refused")
	if got := scene.Status(t, c.Proxy).Upstream.Endpoint; got != fmt.Sprintf("127.0.0.1:%d", c.Candidate.Port) {
		t.Errorf("the proxy follows %s", got)
	}
}

// Two failovers, the second one to a standby behind the proxy.
func TestDoubleFailover(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
		c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
		c.Primary.Exec(t, scene.LoadTable)
		c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
		second := in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("second"))
		c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: scene.Hosts(c.Primary, c.Candidate, second)})
		second.Set(t, fmt.Sprintf("primary_conninfo = '%s'", c.Proxy.Conninfo()))
		second.Reload()
		one := c.Standby(t, "one")
		scene.Write(t, c.Primary, 50)
		c.Follows(t, c.Primary, 1, one, second)
		pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
		before := c.Sessions(t)
		c.Primary.Kill9(t)
		c.Candidate.Promote(t)
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, one, second)
		c.Candidate.Kill9(t)
		second.Promote(t)
		scene.Write(t, second, 50)
		c.Follows(t, second, 3, one)
		if after := c.Sessions(t); after["one"] != before["one"] {
			t.Errorf("the standby lost its session: %v, then %v", before, after)
		}
	}, 15, 18)
}

// The upstream is a standby that is promoted in place: the stream goes on over the same connection.
func TestUpstreamPromotedInPlace(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
		c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
		c.Primary.Exec(t, scene.LoadTable)
		c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
		c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: c.Candidate.Conninfo()})
		one := c.Standby(t, "one")
		scene.Write(t, c.Primary, 50)
		c.Follows(t, c.Primary, 1, one)
		before, reconnects := c.Sessions(t), scene.Status(t, c.Proxy).Upstream.Reconnects
		c.Primary.Kill9(t)
		c.Candidate.Promote(t)
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, one)
		if after := c.Sessions(t); after["one"] != before["one"] {
			t.Errorf("the standby lost its session: %v, then %v", before, after)
		}
		// Once, if the candidate had sent WAL that it then did not replay, and we had reported it.
		if n := scene.Status(t, c.Proxy).Upstream.Reconnects - reconnects; n > 1 {
			t.Errorf("the proxy reconnected %d times", n)
		}
	}, 14, 15, 18)
}

// The figures of a failover with ten standbys: they are logged, and only gross failure is an error.
func TestFailoverFigures(t *testing.T) {
	c := newCluster(t, pgtest.Usual(t))
	m := scene.StartMeter(t, c.Proxy.Port) // of one of them: it costs time
	so := pgtest.StandbyOptions{From: c.Primary, PrimaryConninfo: m.Conninfo()}
	standbys := []*pgtest.Server{c.In.Standby(t, so, pgtest.Name("standby_0"))}
	for i := range 9 {
		standbys = append(standbys, c.Standby(t, fmt.Sprintf("standby_%d", i+1)))
	}
	scene.Write(t, c.Primary, 100)
	c.Follows(t, c.Primary, 1, standbys...)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	before := c.Sessions(t)
	killed := time.Now()
	c.Primary.Kill9(t)
	c.Candidate.Promote(t)
	promoted := time.Now()
	var rows []admin.Standby
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "ten standbys on timeline 2", func() (bool, error) {
		rows = scene.Status(t, c.Proxy).Standbys
		n := 0
		for _, row := range rows {
			if row.Timeline == 2 && row.State == "streaming" {
				n++
			}
		}
		return n == len(standbys), nil
	})
	streaming := time.Now()
	store := scene.Status(t, c.Proxy).Store
	reconnects := 0
	for _, row := range rows {
		if row.PID != before[row.ApplicationName] {
			reconnects++
		}
	}
	segment := int64(c.Fork(t) % lsn.LSN(store.SegSize)) // the protocol's: a standby starts at its segment
	c.Follows(t, c.Candidate, 2, standbys...)
	again := m.Again.Load()
	t.Logf("primary killed to last standby streaming on the new timeline: %v (promotion took %v of it); "+
		"reconnects of 10 standbys: %d; bytes sent again to the one that was measured: %d, from its segment to the fork are %d",
		streaming.Sub(killed).Round(time.Millisecond), promoted.Sub(killed).Round(time.Millisecond),
		reconnects, again, segment)
	if again > segment+int64(lsn.PageSize) { // a record or two may lie beyond the fork
		t.Errorf("%d bytes were sent again, %d would have done", again, segment)
	}
	if reconnects != 0 {
		t.Errorf("%d standbys lost their session: %v, then %v", reconnects, before, c.Sessions(t))
	}
}
