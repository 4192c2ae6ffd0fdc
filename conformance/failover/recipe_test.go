package failover

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// recipeSite is a primary whose commits wait for one of the proxies, and standbys s1, s2, … behind them. It has the
// scripts of docs/failover.md, for which a host is the name of a proxy.
type recipeSite struct {
	*scene.Recipe
	primary  *pgtest.Server
	standbys []*pgtest.Server
	load     *scene.Ledger
}

// newRecipeSite attaches each standby to the proxy of that number.
func newRecipeSite(t *testing.T, rule string, proxyOf []int, names ...string) *recipeSite {
	t.Helper()
	in := pgtest.Need(t, 15)
	waitsFor := "synchronous_standby_names = 'ANY 1 (" + strings.Join(names, ", ") + ")'"
	settings := pgtest.Settings("wal_keep_size = 1GB")
	s := &recipeSite{Recipe: scene.NewRecipe(t, in), primary: in.Primary(t, settings)}
	servers := []*pgtest.Server{s.primary}
	for i := range proxyOf {
		standby := in.Standby(t, pgtest.StandbyOptions{From: s.primary}, settings, pgtest.Name(fmt.Sprintf("s%d", i+1)))
		s.standbys = append(s.standbys, standby)
		servers = append(servers, standby)
	}
	if len(names) > 1 {
		s.Proxies = scene.ClusterOf(t, scene.Hosts(servers...), scene.RuleFile(rule), names...)
	} else {
		s.Proxies = []*pgtest.Proxy{pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: names[0], Upstream: scene.Hosts(servers...), Config: scene.RuleFile(rule),
		})}
	}
	for i, n := range proxyOf {
		s.standbys[i].Set(t, "primary_conninfo = '"+s.Proxies[n].Conninfo()+"'", waitsFor)
		s.standbys[i].Reload()
	}
	scene.WaitSatisfiable(t, s.Proxies...)
	s.primary.Set(t, waitsFor)
	s.primary.Reload()
	conninfos := map[string]string{}
	for _, p := range s.Proxies {
		conninfos[p.Name+"1"], conninfos[p.Name+"2"] = p.Conninfo(), p.Conninfo()
	}
	s.load = scene.StartLedger(t, s.primary, conninfos)
	s.SSH(t)
	return s
}

// promote begins the plain recipe for standby number i.
func (s *recipeSite) promote(t *testing.T, i int) (*exec.Cmd, *scene.Said) {
	t.Helper()
	return s.Begin(t, "promote.sh", nil, "1", s.standbys[i].Name, s.standbys[i].Conninfo())
}

// hook asks the hook for managers about standby number i.
func (s *recipeSite) hook(t *testing.T, i int) (out string, err error) {
	t.Helper()
	c := s.standbys[i]
	cmd, said := s.Begin(t, "pre_promote.sh", []string{
		"CANDIDATE=" + c.Name, "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", c.Port), "PGUSER=postgres",
	})
	err = cmd.Wait()
	return said.String(), err
}

// goesOn waits for the load on the new primary, and looks for every row that was acknowledged to anybody.
func (s *recipeSite) goesOn(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	s.load.WaitProgress(t, 20)
	t.Logf("%d rows were acknowledged", s.load.Stop())
	if primary.Scalar(t, "SELECT pg_is_in_recovery()") != "f" {
		t.Errorf("%s is no primary", primary.Name)
	}
	s.load.Verify(t, primary)
}

// The recipe of docs/failover.md with one proxy, for the standby that has least: it is fed before it is
// promoted. The primary is killed under load.
func TestPromoteByRecipe(t *testing.T) {
	s := newRecipeSite(t, "ANY 2 (s1, s2, s3)", []int{0, 0, 0}, "proxy_a")
	s.load.WaitProgress(t, 20)
	thaw := freeze(t, s.standbys[0])
	s.load.WaitProgress(t, 50)
	s.primary.Kill9(t)
	cmd, out := s.promote(t, 0)
	pgtest.WaitFor(t, time.Minute, "the recipe to wait", func() (bool, error) {
		return strings.Contains(out.String(), "proven after it has been fed from"), nil
	})
	thaw()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.goesOn(t, s.standbys[0])
}

// The same over two proxies, for a candidate behind the proxy that has less: that one takes the rest from the
// other one, and feeds it.
func TestPromoteByRecipeTwoProxies(t *testing.T) {
	s := newRecipeSite(t, "ANY 1 (s1, s2, s3)", []int{0, 1, 1}, "proxy_a", "proxy_b")
	s.load.WaitProgress(t, 20)
	b := s.Proxies[1]
	b.Signal(syscall.SIGSTOP)
	scene.WriteWAL(t, s.primary, 48) // more than socket buffers hold
	acked := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "proxy_a and s1 to have it", func() (bool, error) {
		rows := scene.Status(t, s.Proxies[0]).Standbys
		return len(rows) == 1 && rows[0].Flush >= acked, nil
	})
	s.primary.Kill9(t)
	b.Signal(syscall.SIGCONT)
	pgtest.WaitFor(t, time.Minute, "proxy_b to have lost the primary", func() (bool, error) {
		return scene.Status(t, b).Upstream.State != admin.Streaming, nil
	})
	if has := scene.Status(t, b).Store.Received; has >= acked {
		t.Fatalf("proxy_b has %s, beyond %s", has, acked)
	}
	cmd, out := s.promote(t, 1)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(b.Log(), "taking the tail of a fenced timeline from a member") {
		t.Errorf("proxy_b was not fed\n%s", out)
	}
	s.goesOn(t, s.standbys[1])
}

// The hook for managers refuses a standby that lacks acknowledged WAL and lets one through that has it. A stale
// standby that is promoted all the same is not followed, and nothing is destroyed.
func TestPrePromote(t *testing.T) {
	s := newRecipeSite(t, "ANY 1 (s2, s3)", []int{0, 0, 0}, "proxy_a")
	s.load.WaitProgress(t, 20)
	freeze(t, s.standbys[0])
	s.load.WaitProgress(t, 50)
	s.primary.Kill9(t)
	if out, err := s.hook(t, 0); err == nil || !strings.Contains(out, "s1: proven after it has been fed") {
		t.Errorf("s1: %v\n%s", err, out)
	}
	if out, err := s.hook(t, 1); err != nil {
		t.Errorf("s2: %v\n%s", err, out)
	}

	stale := s.standbys[0]
	stale.Kill9(t)
	stale.Set(t, "primary_conninfo = ''")
	stale.Start(t)
	stale.Promote(t)
	before := scene.Status(t, s.Proxies[0]).Store
	pgtest.WaitFor(t, time.Minute, "the alarm", func() (bool, error) {
		return scene.Status(t, s.Proxies[0]).Upstream.Lack != nil, nil
	})
	if now := scene.Status(t, s.Proxies[0]).Store; now.Timeline != 1 || now.Flushed != before.Flushed {
		t.Errorf("the store was at %v and is at %v on timeline %s", before.Flushed, now.Flushed, now.Timeline)
	}
	stale.Stop(t, pgtest.Immediate)
	cmd, out := s.promote(t, 1)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.goesOn(t, s.standbys[1])
}
