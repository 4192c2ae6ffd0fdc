package failover

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// recipeSite is a primary whose commits wait for one of the proxies, standbys s1, s2, … behind them, and the
// scripts of docs/failover.md, for which a host is the name of a proxy.
type recipeSite struct {
	in       *pgtest.Install
	primary  *pgtest.Server
	standbys []*pgtest.Server
	proxies  []*pgtest.Proxy
	load     *scene.Ledger
	dir      string
}

// newRecipeSite attaches each standby to the proxy of that number.
func newRecipeSite(t *testing.T, rule string, proxyOf []int, names ...string) *recipeSite {
	t.Helper()
	in := pgtest.Need(t, 15)
	waitsFor := "synchronous_standby_names = 'ANY 1 (" + strings.Join(names, ", ") + ")'"
	settings := pgtest.Settings("wal_keep_size = 1GB")
	s := &recipeSite{in: in, primary: in.Primary(t, settings), dir: in.TempDir(t)}
	servers := []*pgtest.Server{s.primary}
	for i := range proxyOf {
		standby := in.Standby(t, pgtest.StandbyOptions{From: s.primary}, settings, pgtest.Name(fmt.Sprintf("s%d", i+1)))
		s.standbys = append(s.standbys, standby)
		servers = append(servers, standby)
	}
	if len(names) > 1 {
		s.proxies = scene.ClusterOf(t, scene.Hosts(servers...), scene.RuleFile(rule), names...)
	} else {
		s.proxies = []*pgtest.Proxy{pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: names[0], Upstream: scene.Hosts(servers...), Config: scene.RuleFile(rule),
		})}
	}
	for i, n := range proxyOf {
		s.standbys[i].Set(t, "primary_conninfo = '"+s.proxies[n].Conninfo()+"'", waitsFor)
		s.standbys[i].Reload()
	}
	scene.WaitSatisfiable(t, s.proxies...)
	s.primary.Set(t, waitsFor)
	s.primary.Reload()
	conninfos := map[string]string{}
	for _, p := range s.proxies {
		conninfos[p.Name+"1"], conninfos[p.Name+"2"] = p.Conninfo(), p.Conninfo()
	}
	s.load = scene.StartLedger(t, s.primary, conninfos)
	s.ssh(t)
	return s
}

// ssh makes a program of that name, which takes a proxy's name for its host.
func (s *recipeSite) ssh(t *testing.T) {
	t.Helper()
	script := "#!/bin/sh\nhost=$1; shift 2\ncase $host in\n"
	for _, p := range s.proxies {
		script += fmt.Sprintf("%s) exec %s \"$@\" --data-dir %s ;;\n", p.Name, pgtest.Binary(t), p.DataDir)
	}
	s.write(t, "ssh", script+"esac\nexit 255\n")
}

func (s *recipeSite) write(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	s.proxies[0].WriteFile(t, path, script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// said is what a program prints, to be read while it runs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// begin starts a script of docs/failover.md, verbatim.
func (s *recipeSite) begin(t *testing.T, name string, env []string, args ...string) (*exec.Cmd, *said) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/failover.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(doc), "```sh\n#!/bin/sh\n# "+name)
	script, _, closed := strings.Cut(script, "```\n")
	if !found || !closed {
		t.Fatalf("docs/failover.md has no script %s", name)
	}
	cmd := s.in.Tool(t, s.dir, s.write(t, name, "#!/bin/sh\n# "+name+script), args...)
	var hosts []string
	for _, p := range s.proxies {
		hosts = append(hosts, p.Name)
	}
	for i, kv := range cmd.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			cmd.Env[i] = "PATH=" + s.dir + ":" + path
		}
	}
	cmd.Env = append(append(cmd.Env, "PROXIES="+strings.Join(hosts, " ")), env...)
	out := &said{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// promote begins the plain recipe for standby number i.
func (s *recipeSite) promote(t *testing.T, i int) (*exec.Cmd, *said) {
	t.Helper()
	return s.begin(t, "promote.sh", nil, "1", s.standbys[i].Name, s.standbys[i].Conninfo())
}

// hook asks the hook for managers about standby number i.
func (s *recipeSite) hook(t *testing.T, i int) (out string, err error) {
	t.Helper()
	c := s.standbys[i]
	cmd, said := s.begin(t, "pre_promote.sh", []string{
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
	b := s.proxies[1]
	b.Signal(syscall.SIGSTOP)
	scene.WriteWAL(t, s.primary, 48) // more than socket buffers hold
	acked := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "proxy_a and s1 to have it", func() (bool, error) {
		rows := scene.Status(t, s.proxies[0]).Standbys
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
	before := scene.Status(t, s.proxies[0]).Store
	pgtest.WaitFor(t, time.Minute, "the alarm", func() (bool, error) {
		return scene.Status(t, s.proxies[0]).Upstream.Lack != nil, nil
	})
	if now := scene.Status(t, s.proxies[0]).Store; now.Timeline != 1 || now.Flushed != before.Flushed {
		t.Errorf("the store was at %v and is at %v on timeline %s", before.Flushed, now.Flushed, now.Timeline)
	}
	stale.Stop(t, pgtest.Immediate)
	cmd, out := s.promote(t, 1)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.goesOn(t, s.standbys[1])
}
