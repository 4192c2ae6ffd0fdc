package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// cluster is a primary, a candidate for its place that follows it directly, and a proxy that knows both.
type cluster struct {
	in                 *pgtest.Install
	primary, candidate *pgtest.Server
	proxy              *pgtest.Proxy
}

func newCluster(t *testing.T, in *pgtest.Install) *cluster {
	t.Helper()
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB", "wal_log_hints = on")
	c := &cluster{in: in, primary: in.Primary(t, settings)}
	c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"))
	c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: hosts(c.primary, c.candidate), Config: "upstream: {connect_wait: 50s}\n", // a busy machine's failover
	})
	c.primary.Exec(t, loadTable)
	return c
}

// hosts is a conninfo of several servers.
func hosts(servers ...*pgtest.Server) string {
	var names, ports []string
	for _, s := range servers {
		names = append(names, "127.0.0.1")
		ports = append(ports, strconv.Itoa(s.Port))
	}
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres",
		strings.Join(names, ","), strings.Join(ports, ","))
}

func (c *cluster) standby(t *testing.T, name string) *pgtest.Server {
	t.Helper()
	return standbyOf(t, c.primary, c.proxy, name, "", pgtest.Settings("wal_log_hints = on"))
}

// write writes a little on a server, by a load of n commits.
func write(t *testing.T, server *pgtest.Server, commits int64) {
	t.Helper()
	load := startLoad(t, server)
	load.waitCommits(t, commits)
	load.stopLoad(t)
}

// follows waits until the proxy's store and the standbys are on timeline tli and equal primary.
func (c *cluster) follows(t *testing.T, primary *pgtest.Server, tli lsn.TimelineID, standbys ...*pgtest.Server) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("the proxy to be on timeline %s", tli), func() (bool, error) {
		return status(t, c.proxy).Store.Timeline == tli, nil
	})
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
		pgtest.EqualData(t, primary, s)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("%s to receive timeline %s", s.Name, tli), func() (bool, error) {
			rows := s.SQL(t, "SELECT received_tli FROM pg_stat_wal_receiver")
			return len(rows) == 1 && rows[0][0] == tli.String(), nil
		})
	}
}

// sessions are the pids of the proxy's walsender sessions, by standby.
func (c *cluster) sessions(t *testing.T) map[string]int32 {
	t.Helper()
	m := map[string]int32{}
	for _, row := range status(t, c.proxy).Standbys {
		m[row.ApplicationName] = row.PID
	}
	return m
}

// logged waits for a line in a log.
func logged(t *testing.T, who string, log func() string, text string) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, who+" to log "+strconv.Quote(text), func() (bool, error) {
		return strings.Contains(log(), text), nil
	})
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

// A failover to a server that lacks WAL which the proxy has, and has sent: the proxy follows and moves
// that WAL aside. A standby that is behind the fork is led on without losing its connection; one that is
// beyond is refused as PostgreSQL refuses it, and comes back after pg_rewind through the proxy.
func TestFailoverForkBelow(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		behind, beyond := c.standby(t, "behind"), c.standby(t, "beyond")
		write(t, c.primary, 50)
		c.follows(t, c.primary, 1, behind, beyond)
		before := c.sessions(t)

		thaw := freeze(t, behind)
		writeWAL(t, c.primary, 48) // more than socket buffers hold
		pgtest.WaitCaughtUp(t, c.primary, c.candidate)
		c.candidate.Stop(t, pgtest.Fast)
		write(t, c.primary, 50)
		pgtest.WaitCaughtUp(t, c.primary, beyond)
		lost := c.primary.CurrentLSN(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have it all", func() (bool, error) {
			return status(t, c.proxy).Store.Flushed >= lost, nil
		})
		c.primary.Kill9(t)
		c.candidate.Start(t)
		c.candidate.Promote(t)
		c.follows(t, c.candidate, 2)
		thaw()
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, behind)
		if after := c.sessions(t); after["behind"] != before["behind"] {
			t.Errorf("the standby behind the fork lost its session %d: %v", before["behind"], after)
		}
		logged(t, "the standby beyond the fork", beyond.Log, "forked off current database system timeline 1 before")
		c.verifyAside(t)
		if in.HasTools() {
			c.rewind(t, beyond)
			write(t, c.candidate, 50)
			c.follows(t, c.candidate, 2, behind, beyond)
		}
	})
}

// verifyAside looks for the WAL beyond the fork: it is kept, and not where it would be served.
func (c *cluster) verifyAside(t *testing.T) {
	t.Helper()
	aside, err := filepath.Glob(filepath.Join(c.proxy.DataDir, "diverged", "1-*", "*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("nothing was moved aside: %v, %v", aside, err)
	}
	for _, path := range aside {
		if _, err := os.Stat(filepath.Join(c.proxy.DataDir, "wal", filepath.Base(path))); err == nil {
			t.Errorf("%s is still in wal", filepath.Base(path))
		}
	}
}

// rewind brings a standby back onto the candidate's timeline with pg_rewind through the proxy.
func (c *cluster) rewind(t *testing.T, s *pgtest.Server) {
	t.Helper()
	s.Stop(t, pgtest.Fast)
	c.candidate.Exec(t, "CHECKPOINT") // pg_rewind reads the timeline in the control file
	c.in.RunTool(t, s.SocketDir, "pg_rewind", "--target-pgdata", s.Dir, "--source-server", c.proxy.Conninfo(), "--no-sync")
	s.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: c.proxy.Conninfo()})
	s.Start(t)
}

// A planned switchover needs no rewind: the old primary's shutdown checkpoint reaches every standby, one
// of them is promoted, and the old primary comes back as a standby behind the proxy.
func TestSwitchover(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		one, two := c.standby(t, "one"), c.standby(t, "two")
		write(t, c.primary, 50)
		c.follows(t, c.primary, 1, one, two)
		before := c.sessions(t)
		began := time.Now()
		c.primary.Stop(t, pgtest.Fast)
		if took := time.Since(began); took > walSenderTimeout/2 {
			t.Errorf("the primary took %v to stop", took)
		}
		c.candidate.Promote(t)
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, one, two)
		after := c.sessions(t)
		if after["one"] != before["one"] || after["two"] != before["two"] {
			t.Errorf("standbys lost their sessions: %v, then %v", before, after)
		}
		if aside, _ := filepath.Glob(filepath.Join(c.proxy.DataDir, "diverged", "*")); len(aside) != 0 {
			t.Errorf("WAL was moved aside: %v", aside)
		}
		c.primary.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: c.proxy.Conninfo()})
		c.primary.Start(t)
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, one, two, c.primary)
	}, 15, 18)
}

// session connects through the proxy and asks which server that is.
func (c *cluster) session(t *testing.T) <-chan string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		rows, err := pgtest.Query(t.Context(), c.proxy.Conninfo("connect_timeout=90"), "SHOW cluster_name")
		if err != nil {
			got <- err.Error()
			return
		}
		got <- rows[0][0]
	}()
	return got
}

// An old primary that comes back is not followed, not even while the new one is away, and no client gets
// to it. Clients wait for the new one instead of failing.
func TestOldPrimaryReturns(t *testing.T) {
	c := newCluster(t, pgtest.Usual(t))
	one := c.standby(t, "one")
	write(t, c.primary, 50)
	c.follows(t, c.primary, 1, one)
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	c.primary.Kill9(t)
	client := c.session(t)
	c.candidate.Promote(t)
	if got := <-client; got != c.candidate.Name {
		t.Errorf("a client that came during the failover got %s", got)
	}
	c.follows(t, c.candidate, 2, one)

	c.primary.Start(t)
	write(t, c.primary, 50) // nobody must see this
	for range 2 {
		c.candidate.Stop(t, pgtest.Fast)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the old primary to be refused", func() (bool, error) {
			return strings.Contains(status(t, c.proxy).Upstream.LastError, "is behind recovery timeline 2"), nil
		})
		client = c.session(t)
		c.candidate.Start(t)
		if got := <-client; got != c.candidate.Name {
			t.Errorf("a client that came while only the old primary was there got %s", got)
		}
		write(t, c.candidate, 20)
		c.follows(t, c.candidate, 2, one)
	}
	logged(t, "the proxy", c.proxy.Log, "upstream host refused")
	if got := status(t, c.proxy).Upstream.Endpoint; got != fmt.Sprintf("127.0.0.1:%d", c.candidate.Port) {
		t.Errorf("the proxy follows %s", got)
	}
}

// Two failovers, the second one to a standby behind the proxy.
func TestDoubleFailover(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
		c := &cluster{in: in, primary: in.Primary(t, settings)}
		c.primary.Exec(t, loadTable)
		c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"))
		second := in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("second"))
		c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: hosts(c.primary, c.candidate, second)})
		second.Set(t, fmt.Sprintf("primary_conninfo = '%s'", c.proxy.Conninfo()))
		second.Reload()
		one := c.standby(t, "one")
		write(t, c.primary, 50)
		c.follows(t, c.primary, 1, one, second)
		pgtest.WaitCaughtUp(t, c.primary, c.candidate)
		before := c.sessions(t)
		c.primary.Kill9(t)
		c.candidate.Promote(t)
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, one, second)
		c.candidate.Kill9(t)
		second.Promote(t)
		write(t, second, 50)
		c.follows(t, second, 3, one)
		if after := c.sessions(t); after["one"] != before["one"] {
			t.Errorf("the standby lost its session: %v, then %v", before, after)
		}
	}, 15, 18)
}

// The upstream is a standby that is promoted in place: the stream goes on over the same connection.
func TestUpstreamPromotedInPlace(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
		c := &cluster{in: in, primary: in.Primary(t, settings)}
		c.primary.Exec(t, loadTable)
		c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"))
		c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: c.candidate.Conninfo()})
		one := c.standby(t, "one")
		write(t, c.primary, 50)
		c.follows(t, c.primary, 1, one)
		before, reconnects := c.sessions(t), status(t, c.proxy).Upstream.Reconnects
		c.primary.Kill9(t)
		c.candidate.Promote(t)
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, one)
		if after := c.sessions(t); after["one"] != before["one"] {
			t.Errorf("the standby lost its session: %v, then %v", before, after)
		}
		// Once, if the candidate had sent WAL that it then did not replay, and we had reported it.
		if n := status(t, c.proxy).Upstream.Reconnects - reconnects; n > 1 {
			t.Errorf("the proxy reconnected %d times", n)
		}
	}, 14, 15, 18)
}

// The figures of a failover with ten standbys: they are logged, and only gross failure is an error.
func TestFailoverFigures(t *testing.T) {
	c := newCluster(t, pgtest.Usual(t))
	m := startMeter(t, c.proxy.Port) // of one of them: it costs time
	so := pgtest.StandbyOptions{From: c.primary, PrimaryConninfo: m.conninfo()}
	standbys := []*pgtest.Server{c.in.Standby(t, so, pgtest.Name("standby_0"))}
	for i := range 9 {
		standbys = append(standbys, c.standby(t, fmt.Sprintf("standby_%d", i+1)))
	}
	write(t, c.primary, 100)
	c.follows(t, c.primary, 1, standbys...)
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	before := c.sessions(t)
	killed := time.Now()
	c.primary.Kill9(t)
	c.candidate.Promote(t)
	promoted := time.Now()
	var rows []admin.Standby
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "ten standbys on timeline 2", func() (bool, error) {
		rows = status(t, c.proxy).Standbys
		n := 0
		for _, row := range rows {
			if row.Timeline == 2 && row.State == "streaming" {
				n++
			}
		}
		return n == len(standbys), nil
	})
	streaming := time.Now()
	store := status(t, c.proxy).Store
	reconnects := 0
	for _, row := range rows {
		if row.PID != before[row.ApplicationName] {
			reconnects++
		}
	}
	segment := int64(c.fork(t) % lsn.LSN(store.SegSize)) // the protocol's: a standby starts at its segment
	c.follows(t, c.candidate, 2, standbys...)
	again := m.again.Load()
	t.Logf("primary killed to last standby streaming on the new timeline: %v (promotion took %v of it); "+
		"reconnects of 10 standbys: %d; bytes sent again to the one that was measured: %d, from its segment to the fork are %d",
		streaming.Sub(killed).Round(time.Millisecond), promoted.Sub(killed).Round(time.Millisecond),
		reconnects, again, segment)
	if again > segment+int64(lsn.PageSize) { // a record or two may lie beyond the fork
		t.Errorf("%d bytes were sent again, %d would have done", again, segment)
	}
	if reconnects != 0 {
		t.Errorf("%d standbys lost their session: %v, then %v", reconnects, before, c.sessions(t))
	}
}
