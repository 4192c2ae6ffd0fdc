package pages

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// estate is the world after README.md and docs/quorum.md: a primary db1, standbys s1 to s3 whose primary_conninfo was
// set by ALTER SYSTEM, and the operator's own machine. Its proxies know all four servers and have one rule.
type estate struct {
	*house
	operator *machine
	servers  map[string]*pgtest.Server // db1, s1, …
	proxies  []*pgtest.Proxy
}

// newEstate sets it up with a rule. Each standby's primary_conninfo names all proxies: s1's the first one first, the
// others' another one.
func newEstate(t *testing.T, rule string, proxies ...string) *estate {
	t.Helper()
	e := &estate{house: newHouse(t), servers: map[string]*pgtest.Server{}}
	e.operator = e.machine(t, "operator")
	servers := []string{"db1", "s1", "s2", "s3"}
	for _, name := range servers {
		e.machine(t, name)
	}
	for i, name := range proxies {
		e.machine(t, name, [][]string{{"proxy", "proxy1"}, nil}[min(i, 1)]...)
	}
	db1 := e.primary(t, e.machines["db1"])
	e.servers["db1"] = db1
	for _, role := range []string{"replproxy", "standby"} {
		db1.Exec(t, "CREATE ROLE "+role+" REPLICATION LOGIN PASSWORD '"+ownPassword+"'")
	}
	for _, name := range servers[1:] {
		e.servers[name] = e.standby(t, e.machines[name], db1, "wal_receiver_timeout = 5s")
	}
	upstream := "host=" + strings.Join(servers, ",") + " user=replproxy dbname=postgres"
	e.startProxies(t, upstream, rule, proxies)
	for i, name := range servers[1:] {
		order := slices.Concat(proxies[min(i, len(proxies)-1):], proxies[:min(i, len(proxies)-1)])
		e.sh(t, e.operator, fmt.Sprintf(`psql -h %s -c "ALTER SYSTEM SET primary_conninfo = 'host=%s port=6543 tcp_user_timeout=5000 `+
			`user=standby application_name=%s'" -c "SELECT pg_reload_conf()"`, name, strings.Join(order, ","), name))
	}
	scene.WaitSatisfiable(t, e.proxies...)
	for _, name := range servers {
		e.sh(t, e.operator, fmt.Sprintf(`psql -h %s -c "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (%s)'" -c "SELECT pg_reload_conf()"`,
			name, strings.Join(proxies, ", ")))
	}
	return e
}

// startProxies starts them with the file that docs/quorum.md shows, or a single one without a cluster.
func (e *estate) startProxies(t *testing.T, upstream, rule string, names []string) {
	t.Helper()
	var binds []string
	for _, name := range names {
		m := e.machines[name]
		p := pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: name, Upstream: upstream, Host: m.Host, DataDir: "/var/lib/replproxy", Config: "{}\n", Stopped: true,
			Access: []string{"host all,replication all all relay"},
		})
		p.Port, p.HTTPPort = 6543, 6580
		e.passfile(t, p.SocketDir)
		e.proxies = append(e.proxies, p)
		binds = append(binds, m.Addr+":7946")
	}
	configs := make([]string, len(names))
	if len(names) > 1 {
		configs = pgtest.Cluster(t, binds, e.proxies...)
	}
	for i, p := range e.proxies {
		p.Configure(t, scene.RuleFile(rule)+configs[i])
		p.StartNoWait(t)
	}
	for _, p := range e.proxies {
		p.WaitReady(t)
	}
}

// freeze stops a process and all that its machine sends, as of a virtual machine that stands still; thaw ends that.
func (e *estate) freeze(t *testing.T, name string, signal func(syscall.Signal)) (thaw func()) {
	t.Helper()
	at := e.machines[name]
	e.write(t, name+"/frozen", "", 0o644)
	signal(syscall.SIGSTOP)
	for _, m := range e.machines {
		if m != at {
			at.Cut(t, m.Host)
		}
	}
	thaw = sync.OnceFunc(func() {
		for _, m := range e.machines {
			if m != at {
				at.Mend(t, m.Host)
			}
		}
		signal(syscall.SIGCONT)
		_ = os.Remove(filepath.Join(at.dir, "frozen"))
	})
	t.Cleanup(thaw)
	return thaw
}

// script puts a script of a page where the operator runs it.
func (e *estate) script(t *testing.T, page *scene.Page, name string) {
	t.Helper()
	e.write(t, "operator/"+name, page.Block(t, "#!/bin/sh\n# "+name), 0o755)
}

// operate runs a line as the operator, in the folder of the scripts.
func (e *estate) operate(t *testing.T, line string, env ...string) (string, error) {
	t.Helper()
	return e.run(t, e.operator, true, e.inScripts(line), append(env, e.proxyNames())...)
}

func (e *estate) inScripts(line string) string { return "cd " + e.operator.dir + " && " + line }

// proxyNames is the variable that the scripts ask for.
func (e *estate) proxyNames() string {
	var names []string
	for _, p := range e.proxies {
		names = append(names, p.Name)
	}
	return "PROXIES=" + strings.Join(names, " ")
}

// job is a line of the operator's that runs.
type job struct {
	cmd  *exec.Cmd
	said *scene.Said
}

// begin is operate for a line that is not waited for; exec makes it one process.
func (e *estate) begin(t *testing.T, line string, env ...string) job {
	t.Helper()
	j := job{e.command(t.Context(), t, e.operator, true, e.inScripts(line), append(env, e.proxyNames())...), &scene.Said{}}
	j.cmd.Stdout, j.cmd.Stderr = j.said, j.said
	if err := e.operator.Start(j.cmd); err != nil {
		t.Fatal(err)
	}
	return j
}

// counts waits until each proxy shows that these voters, and no others, count.
func (e *estate) counts(t *testing.T, names ...string) {
	t.Helper()
	for _, p := range e.proxies {
		pgtest.WaitFor(t, time.Minute, fmt.Sprintf("%v to count at %s", names, p.Name), func() (bool, error) {
			var counting []string
			for _, v := range scene.Status(t, p).Quorum.Voters {
				if v.Standing == admin.Counts && v.Priority > 0 {
					counting = append(counting, v.Name)
				}
			}
			slices.Sort(counting)
			return slices.Equal(counting, names), nil
		})
	}
}

// conninfo returns the operator's connection string to a server.
func conninfo(server string) string { return "host=" + server + " user=postgres dbname=postgres" }

// load inserts rows through the proxies, in turn where one is away, and writes down which were acknowledged.
type load struct {
	e    *estate
	file string
	stop func()
}

func (e *estate) startLoad(t *testing.T) *load {
	t.Helper()
	e.servers["db1"].Exec(t, "SET synchronous_commit = local; CREATE TABLE t (id bigserial PRIMARY KEY, pad text)")
	e.write(t, "acknowledged", "", 0o666)
	l := &load{e: e, file: filepath.Join(e.dir, "acknowledged")}
	l.start(t)
	return l
}

// start goes on until stop, or the end of the test.
func (l *load) start(t *testing.T) {
	t.Helper()
	hosts := strings.ReplaceAll(strings.TrimPrefix(l.e.proxyNames(), "PROXIES="), " ", ",")
	l.e.write(t, "load.sh", fmt.Sprintf(`while :; do
    for i in 1 2 3 4 5 6 7 8 9 10; do echo "INSERT INTO t (pad) VALUES (repeat('x', 200)) RETURNING id;"; done |
        PGCONNECT_TIMEOUT=2 timeout -k 1 5 psql -XAtq "host=%s port=6543 user=postgres dbname=postgres target_session_attrs=read-write" \
        >>%s 2>/dev/null || sleep 0.2
done
`, hosts, l.file), 0o644)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := l.e.command(ctx, t, l.e.operator, false, "exec sh "+l.e.dir+"/load.sh")
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // its psql too
	if err := l.e.operator.Start(cmd); err != nil {
		t.Fatal(err)
	}
	l.stop = sync.OnceFunc(func() { cancel(); _ = cmd.Wait() })
	t.Cleanup(l.stop)
}

// acknowledged are the rows' numbers.
func (l *load) acknowledged(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(content))
}

// waitProgress waits for n more rows.
func (l *load) waitProgress(t *testing.T, n int) {
	t.Helper()
	begin := len(l.acknowledged(t))
	pgtest.WaitFor(t, 90*time.Second, "the load to go on", func() (bool, error) {
		return len(l.acknowledged(t)) >= begin+n, nil
	})
}

// verify finds every row that was acknowledged so far in a server.
func (l *load) verify(t *testing.T, s *pgtest.Server) {
	t.Helper()
	ids := l.acknowledged(t)
	sql := "SELECT count(DISTINCT id) FROM t WHERE id IN (" + strings.Join(ids, ", ") + ")"
	if got := s.Scalar(t, sql); got != fmt.Sprint(len(ids)) {
		t.Errorf("%s has %s of the %d rows that were acknowledged", s.Name, got, len(ids))
	}
}
