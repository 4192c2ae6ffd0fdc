package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// commits are one primary and three standbys, whose commits wait for a quorum of these.
type commits struct {
	b        *testing.B
	in       *pgtest.Install
	primary  *pgtest.Server
	standbys []*pgtest.Server
	one      *pgtest.Proxy
	two      []*pgtest.Proxy
	clusters []string // the files of two, without the rule
	dir      string
	seconds  int
}

// layout is a way from the primary to the standbys.
type layout struct {
	name    string
	proxies []*pgtest.Proxy // that run; the standbys follow them in turn. None: the primary
	names   string          // that the primary waits for; "": the rule
}

var commitClients = []int{1, 8, 32}

// BenchmarkCommit: latency of a commit that waits for ANY 1 and ANY 2 of three standbys: attached to the
// primary, behind one proxy, and behind two proxies with one quorum.
func BenchmarkCommit(b *testing.B) {
	c := newCommits(b)
	layouts := []layout{
		{name: "native"},
		{name: "one proxy", proxies: []*pgtest.Proxy{c.one}, names: "one"},
		{name: "two proxies", proxies: c.two, names: "ANY 1 (a, b)"},
	}
	got := map[string][]sample{}
	key := func(need, clients int, layout string) string { return fmt.Sprint(need, " ", clients, " ", layout) }
	for range rounds() {
		for _, l := range layouts {
			for _, need := range []int{1, 2} {
				c.arrange(l, fmt.Sprintf("ANY %d (s1, s2, s3)", need))
				for _, clients := range commitClients {
					k := key(need, clients, l.name)
					got[k] = append(got[k], c.measure(clients))
				}
			}
		}
	}
	fmt.Printf("\ncommits that wait for a quorum of 3 standbys, %d s, median of %d rounds; ratios to native\n"+
		"%-6s %7s  %-11s %9s %9s %9s   %6s %6s %6s\n",
		c.seconds, rounds(), "rule", "clients", "", "p50 ms", "p99 ms", "tps", "p50", "p99", "tps")
	for _, need := range []int{1, 2} {
		for _, clients := range commitClients {
			native := middle(got[key(need, clients, "native")])
			for _, l := range layouts {
				m := middle(got[key(need, clients, l.name)])
				fmt.Printf("ANY %d  %7d  %-11s %9.2f %9.2f %9.0f   %6.2f %6.2f %6.2f\n", need, clients, l.name,
					m.p50, m.p99, m.tps, m.p50/native.p50, m.p99/native.p99, m.tps/native.tps)
			}
		}
	}
}

func middle(all []sample) (m sample) {
	pick := func(f func(sample) float64) float64 {
		var v []float64
		for _, s := range all {
			v = append(v, f(s))
		}
		return median(v)
	}
	return sample{
		p50: pick(func(s sample) float64 { return s.p50 }),
		p99: pick(func(s sample) float64 { return s.p99 }),
		tps: pick(func(s sample) float64 { return s.tps }),
	}
}

func newCommits(b *testing.B) *commits {
	c := &commits{b: b, in: pgtest.Need(b, 15), seconds: 4}
	if scale() < 1024 {
		c.seconds = 1
	}
	// As in production: everybody syncs, the standbys apply.
	settings := pgtest.Settings("max_wal_size = 8GB", "checkpoint_timeout = 1h", "wal_keep_size = 4GB", "shared_buffers = 128MB")
	c.primary = c.in.Primary(b, settings, pgtest.Fsync())
	c.primary.Exec(b, "CREATE TABLE commits (id bigserial PRIMARY KEY, pad text)")
	for i := range 3 {
		c.standbys = append(c.standbys, c.in.Standby(b, pgtest.StandbyOptions{From: c.primary},
			settings, pgtest.Fsync(), pgtest.Name(fmt.Sprintf("s%d", i+1))))
	}
	stopped := func(name string) *pgtest.Proxy {
		return pgtest.StartProxy(b, pgtest.ProxyOptions{
			Name: name, Upstream: c.primary.Conninfo(), Config: "{}\n", Stopped: true,
		})
	}
	c.one, c.two = stopped("one"), []*pgtest.Proxy{stopped("a"), stopped("b")}
	var binds []string
	for range c.two {
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(b)))
	}
	c.clusters = pgtest.Cluster(b, binds, c.two...)
	c.dir = c.in.TempDir(b)
	if err := os.WriteFile(filepath.Join(c.dir, "commit.sql"), []byte(commitScript), 0o644); err != nil {
		b.Fatal(err)
	}
	return c
}

// arrange stops the servers that the layout does not need and waits until commits wait for those that it has.
func (c *commits) arrange(l layout, rule string) {
	b := c.b
	c.primary.WaitsFor(c.b, "")
	for i, p := range append([]*pgtest.Proxy{c.one}, c.two...) {
		config := "synchronous_standby_names: '" + rule + "'\n"
		if i > 0 {
			config += c.clusters[i-1]
		}
		p.Configure(b, config)
		switch runs := slices.Contains(l.proxies, p); {
		case runs && p.Running():
			p.Signal(syscall.SIGHUP)
		case runs:
			p.StartNoWait(b)
		case p.Running():
			p.Terminate(b)
		}
	}
	for i, s := range c.standbys {
		from := c.primary.Conninfo()
		if len(l.proxies) > 0 {
			p := l.proxies[i%len(l.proxies)]
			p.WaitReady(b)
			from = p.Conninfo()
		}
		s.Set(b, "primary_conninfo = '"+from+"'")
		s.Reload()
	}
	names := l.names
	if names == "" {
		names = rule
	}
	c.primary.WaitsFor(c.b, names)
	streams := len(l.proxies)
	if streams == 0 {
		streams = len(c.standbys)
	}
	pgtest.WaitStreaming(b, c.primary, streams)
	for _, p := range l.proxies {
		pgtest.WaitFor(b, time.Minute, p.Name+" to count three standbys", func() (bool, error) {
			_, body, err := p.Get(b.Context(), "/status")
			text := strings.ReplaceAll(string(body), `": "`, `":"`)
			return err == nil && strings.Count(text, `"standing":"counts"`) >= len(c.standbys) && strings.Contains(text, rule), nil
		})
	}
	c.measure(1) // the first seconds of an arrangement say nothing
	pgtest.WaitCaughtUp(b, c.primary, c.standbys[0])
}

// measure runs pgbench for a while.
func (c *commits) measure(clients int) sample {
	return runPgbench(c.b, c.in, c.primary, c.dir, clients, c.seconds)
}
