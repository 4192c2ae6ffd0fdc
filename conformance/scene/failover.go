package scene

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Cluster is a primary, a candidate for its place that follows it directly, and a proxy that knows both.
type Cluster struct {
	In                 *pgtest.Install
	Primary, Candidate *pgtest.Server
	Proxy              *pgtest.Proxy
}

// Hosts returns a conninfo of several servers.
func Hosts(servers ...*pgtest.Server) string {
	var names, ports []string
	for _, s := range servers {
		names = append(names, "127.0.0.1")
		ports = append(ports, strconv.Itoa(s.Port))
	}
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres",
		strings.Join(names, ","), strings.Join(ports, ","))
}

func (c *Cluster) Standby(t *testing.T, name string) *pgtest.Server {
	t.Helper()
	return StandbyOf(t, c.Primary, c.Proxy, name, "", pgtest.Settings("wal_log_hints = on"))
}

// Write writes a little on a server, by a load of n commits.
func Write(t *testing.T, server *pgtest.Server, commits int64) {
	t.Helper()
	load := StartLoad(t, server)
	load.WaitCommits(t, commits)
	load.StopLoad(t)
}

// Follows waits until the proxy's store and the standbys are on timeline tli and equal primary.
func (c *Cluster) Follows(t *testing.T, primary *pgtest.Server, tli lsn.TimelineID, standbys ...*pgtest.Server) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("the proxy to be on timeline %s", tli), func() (bool, error) {
		return Status(t, c.Proxy).Store.Timeline == tli, nil
	})
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
		pgtest.EqualData(t, primary, s)
		what := fmt.Sprintf("%s to receive timeline %s", s.Name, tli)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, what, func() (bool, error) {
			rows := s.SQL(t, "SELECT received_tli FROM pg_stat_wal_receiver")
			return len(rows) == 1 && rows[0][0] == tli.String(), nil
		})
	}
}

// Sessions returns the pids of the proxy's walsender sessions, by standby.
func (c *Cluster) Sessions(t *testing.T) map[string]int32 {
	t.Helper()
	m := map[string]int32{}
	for _, row := range Status(t, c.Proxy).Standbys {
		m[row.ApplicationName] = row.PID
	}
	return m
}

// Logged waits for a line in a log.
func Logged(t *testing.T, who string, log func() string, text string) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, who+" to log "+strconv.Quote(text), func() (bool, error) {
		return strings.Contains(log(), text), nil
	})
}

// VerifyAside looks for the WAL beyond the fork: it is kept, and not where it would be served.
func (c *Cluster) VerifyAside(t *testing.T) {
	t.Helper()
	aside, err := filepath.Glob(filepath.Join(c.Proxy.DataDir, "diverged", "1-*", "*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("nothing was moved aside: %v, %v", aside, err)
	}
	for _, path := range aside {
		if _, err := os.Stat(filepath.Join(c.Proxy.DataDir, "wal", filepath.Base(path))); err == nil {
			t.Errorf("%s is still in wal", filepath.Base(path))
		}
	}
}

// Rewind brings a standby back onto the candidate's timeline with pg_rewind through the proxy.
func (c *Cluster) Rewind(t *testing.T, s *pgtest.Server) {
	t.Helper()
	s.Stop(t, pgtest.Fast)
	c.Candidate.Exec(t, "CHECKPOINT") // pg_rewind reads the timeline in the control file
	c.In.RunTool(t, s.SocketDir, "pg_rewind", "--target-pgdata", s.Dir, "--source-server", c.Proxy.Conninfo(),
		"--no-sync")
	s.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: c.Proxy.Conninfo()})
	s.Start(t)
}

// Session connects through the proxy and asks which server that is.
func (c *Cluster) Session(t *testing.T) <-chan string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		rows, err := pgtest.Query(t.Context(), c.Proxy.Conninfo("connect_timeout=90"), "SHOW cluster_name")
		if err != nil {
			got <- err.Error()
			return
		}
		got <- rows[0][0]
	}()
	return got
}
