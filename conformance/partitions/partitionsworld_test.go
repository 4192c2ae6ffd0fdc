package partitions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// world is a primary, three proxies with one quorum and four standbys, each on a host of its own.
//
//	          ┌─ proxy_a ─┐  s1
//	primary ──┼─ proxy_b ─┼─ s2    each standby follows the proxies in an order of its own,
//	          └─ proxy_c ─┘  s3    so it moves on when its proxy is gone
//	                         s4
//
// Whoever is not on the network is the test: it sees everything, always.
type world struct {
	in       *pgtest.Install
	seed     uint64
	rng      *rand.Rand
	law      law
	network  *pgtest.Network
	primary  *pgtest.Server // whom clients should use
	standbys []*standbyHost
	proxies  []*pgtest.Proxy
	hosts    map[string]*pgtest.Host
	cuts     map[[2]string]bool
	faults   map[string]int // of each kind, how many
	began    time.Time
}

// say logs an event, with the time in servers' logs and since the beginning.
func (w *world) say(t *testing.T, format string, args ...any) {
	t.Helper()
	now := time.Now()
	t.Logf("%s %4.1fs "+format, append([]any{now.UTC().Format("15:04:05.000"), now.Sub(w.began).Seconds()}, args...)...)
}

type standbyHost struct {
	*pgtest.Server
	starts  atomic.Int64
	retired atomic.Bool // it was made a primary
}

// law is the condition for which a commit waits.
type law struct {
	rule    string   // of the proxies
	names   []string // that it counts
	primary string   // synchronous_standby_names there
	levels  []string // of synchronous_commit that it can satisfy
}

// need is the number of its names for which every law's rule waits.
const need = 2

var (
	proxyNames   = []string{"proxy_a", "proxy_b", "proxy_c"}
	standbyNames = []string{"s1", "s2", "s3", "s4"}
	allLevels    = []string{"on", "remote_write", "remote_apply"}
)

func laws() []law {
	const anyProxy = "ANY 1 (proxy_a, proxy_b, proxy_c)"
	mixed := append([]string{"proxy_a"}, standbyNames...)
	return []law{
		{rule("ANY", standbyNames), standbyNames, anyProxy, allLevels},
		{rule("ANY", standbyNames), standbyNames, "proxy_b", allLevels},
		{rule("ANY", proxyNames), proxyNames, anyProxy, []string{"on", "remote_write"}}, // stores never apply
		{rule("ANY", mixed), mixed, anyProxy, allLevels},
	}
}

func rule(method string, names []string) string {
	return fmt.Sprintf("%s %d (%s)", method, need, strings.Join(names, ", "))
}

// newWorld starts everything, with the accounts filled and nobody paying yet. more are settings of all servers.
func newWorld(t *testing.T, seed uint64, l law, more ...string) *world {
	t.Helper()
	w := &world{
		in: pgtest.Usual(t), seed: seed, rng: rand.New(rand.NewPCG(seed, 4)), law: l, network: pgtest.NewNetwork(t),
		hosts: map[string]*pgtest.Host{}, cuts: map[[2]string]bool{}, faults: map[string]int{},
		began: time.Now(),
	}
	for _, name := range slices.Concat([]string{"primary"}, proxyNames, standbyNames) {
		w.hosts[name] = w.network.Host(t, name)
	}
	// A primary that nobody answers, and a standby that hears nothing, find out within a story.
	settings := pgtest.Settings(append([]string{
		"wal_keep_size = 1GB", "max_wal_size = 1GB", "checkpoint_timeout = 1h", "wal_sender_timeout = 4s",
		"wal_receiver_timeout = 3s", "tcp_user_timeout = 4s", "synchronous_standby_names = '" + l.primary + "'",
	}, more...)...)
	w.primary = w.in.Primary(t, settings, pgtest.SCRAM(scene.PartitionsPassword), pgtest.On(w.hosts["primary"]))
	w.primary.Exec(t, "SET synchronous_commit = local; "+bankTables+fmt.Sprintf(
		"; INSERT INTO accounts SELECT n, %d FROM generate_series(0, %d) n", opening, accounts-1))
	for _, name := range standbyNames {
		so := pgtest.StandbyOptions{From: w.primary, PrimaryConninfo: "host=" + w.hosts["proxy_a"].Addr}
		s := w.in.Standby(t, so, settings, pgtest.Name(name), pgtest.On(w.hosts[name]), pgtest.Stopped())
		w.standbys = append(w.standbys, &standbyHost{Server: s})
	}
	w.startProxies(t)
	for _, s := range w.standbys {
		w.follow(t, s, w.shuffledProxies()...)
		w.start(t, s)
	}
	for _, s := range w.standbys {
		s.WaitReplay(t, w.primary.CurrentLSN(t))
	}
	scene.WaitSatisfiable(t, w.proxies...)
	return w
}

// startProxies gives each proxy every server as a possible primary.
func (w *world) startProxies(t *testing.T) {
	t.Helper()
	servers := []*pgtest.Server{w.primary}
	for _, s := range w.standbys {
		servers = append(servers, s.Server)
	}
	var addresses, ports []string
	for _, s := range servers {
		addresses, ports = append(addresses, w.hosts[s.Name].Addr), append(ports, fmt.Sprint(s.Port))
	}
	conninfo := fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres password=%s sslmode=disable connect_timeout=2",
		strings.Join(addresses, ","), strings.Join(ports, ","), scene.PartitionsPassword)
	const clusterPort = 7946
	var binds []string
	for _, name := range proxyNames {
		p := pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: name, Upstream: conninfo, Password: scene.PartitionsPassword, Config: "{}\n", Stopped: true, Host: w.hosts[name],
		})
		t.Cleanup(func() { w.signal(p, syscall.SIGCONT) }) // or it could not end
		w.proxies = append(w.proxies, p)
		binds = append(binds, fmt.Sprintf("%s:%d", w.hosts[name].Addr, clusterPort))
	}
	for i, config := range pgtest.Cluster(t, binds, w.proxies...) {
		w.proxies[i].Configure(t, scene.RuleFile(w.law.rule)+config)
		w.proxies[i].StartNoWait(t)
	}
	for _, p := range w.proxies {
		p.WaitReady(t)
	}
}

func (w *world) start(t *testing.T, s *standbyHost) {
	t.Helper()
	s.starts.Add(1)
	s.StartNoWait(t)
}

// follow lets a standby follow the first of some proxies that it can reach, from its next start or reload on.
func (w *world) follow(t *testing.T, s *standbyHost, proxies ...*pgtest.Proxy) {
	t.Helper()
	var addresses, ports []string
	for _, p := range proxies {
		addresses, ports = append(addresses, w.hosts[p.Name].Addr), append(ports, fmt.Sprint(p.Port))
	}
	s.Set(t, fmt.Sprintf("primary_conninfo = 'host=%s port=%s user=postgres password=%s sslmode=disable connect_timeout=2'",
		strings.Join(addresses, ","), strings.Join(ports, ","), scene.PartitionsPassword))
}

func (w *world) shuffledProxies() []*pgtest.Proxy {
	all := slices.Clone(w.proxies)
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (w *world) retired(name string) bool {
	return slices.ContainsFunc(w.standbys, func(s *standbyHost) bool { return s.Name == name && s.retired.Load() })
}

func (w *world) standby(name string) *standbyHost {
	return w.standbys[slices.IndexFunc(w.standbys, func(s *standbyHost) bool { return s.Name == name })]
}

// cut makes all packets from one host to another vanish; mend ends it. Both may be called again.
func (w *world) cut(t *testing.T, from, to string) {
	t.Helper()
	if key := [2]string{from, to}; !w.cuts[key] {
		w.cuts[key] = true
		w.hosts[from].Cut(t, w.hosts[to])
	}
}

func (w *world) mend(t *testing.T, from, to string) {
	t.Helper()
	if key := [2]string{from, to}; w.cuts[key] {
		delete(w.cuts, key)
		w.hosts[from].Mend(t, w.hosts[to])
	}
}

// apart cuts two hosts off from each other, in both directions.
func (w *world) apart(t *testing.T, a, b string) {
	t.Helper()
	w.cut(t, a, b)
	w.cut(t, b, a)
}

// isolate cuts a host off from all others.
func (w *world) isolate(t *testing.T, name string) {
	t.Helper()
	for other := range w.hosts {
		if other != name {
			w.apart(t, name, other)
		}
	}
}

// heal mends every cut.
func (w *world) heal(t *testing.T) {
	t.Helper()
	for key := range w.cuts {
		w.mend(t, key[0], key[1])
	}
}

// applied notes which standbys run now; the function that it returns, called after a commit at
// remote_apply, finds fewer than the rule counts that show it to be an error. A standby that was started
// meanwhile, or does not answer, may have been one of those that counted.
func (w *world) applied(teller string) func(n int) error {
	starts := map[*standbyHost]int64{}
	for _, s := range w.standbys {
		starts[s] = s.starts.Load()
	}
	return func(n int) error {
		may := 0
		var lack []string
		for _, s := range w.standbys {
			if s.retired.Load() || !slices.Contains(w.law.names, s.Name) {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			sql := fmt.Sprintf("SELECT count(*) FROM transfers WHERE teller = '%s' AND n = %d", teller, n)
			rows, err := pgtest.Query(ctx, s.SocketConninfo(), sql)
			cancel()
			if err == nil && rows[0][0] == "0" && s.starts.Load() == starts[s] {
				lack = append(lack, s.Name)
			} else {
				may++
			}
		}
		if may < need {
			return fmt.Errorf("transfer %d was acknowledged at remote_apply, and is not visible on %v", n, lack)
		}
		return nil
	}
}

// affliction is a fault while it lasts. It may be ended twice: an operator may have been there before.
type affliction struct {
	name, host string // host: whose processes it concerns, "" for a cut
	end        func()
}

// afflict lets something happen to a part that nothing happens to, and returns it.
func (w *world) afflict(t *testing.T, busy []affliction) affliction {
	t.Helper()
	free := func(name string) bool {
		return !slices.ContainsFunc(busy, func(a affliction) bool { return a.host == name })
	}
	for {
		p, s := w.proxies[w.rng.IntN(len(w.proxies))], w.standbys[w.rng.IntN(len(w.standbys))]
		kind := w.rng.IntN(9)
		switch {
		case kind == 0 && free(p.Name):
			p.Kill9(t)
			return affliction{"kill9 " + p.Name, p.Name, func() {
				if !p.Running() {
					p.StartNoWait(t)
				}
			}}
		case kind == 1 && free(p.Name):
			w.signal(p, syscall.SIGSTOP)
			return affliction{"SIGSTOP " + p.Name, p.Name, func() { w.signal(p, syscall.SIGCONT) }}
		case kind == 2 && free(s.Name) && !s.retired.Load():
			s.Kill9(t)
			return affliction{"kill9 " + s.Name, s.Name, func() {
				if !s.Running() {
					w.start(t, s)
				}
			}}
		case kind == 3 && free(s.Name) && !s.retired.Load():
			w.ask(s, "SELECT pg_wal_replay_pause()")
			return affliction{"replay-pause " + s.Name, s.Name, func() { w.ask(s, "SELECT pg_wal_replay_resume()") }}
		case kind > 3:
			return w.severance(t)
		}
	}
}

func (w *world) signal(p *pgtest.Proxy, sig syscall.Signal) {
	if p.Running() {
		p.Signal(sig)
	}
}

// ask runs SQL on a standby that may be starting, or just have been made a primary.
func (w *world) ask(s *standbyHost, sql string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = pgtest.Query(ctx, s.SocketConninfo(), sql)
}

// severance cuts hosts off from each other: one link in one direction or both, or one host from all.
func (w *world) severance(t *testing.T) affliction {
	t.Helper()
	p := proxyNames[w.rng.IntN(len(proxyNames))]
	others := slices.DeleteFunc(slices.Concat([]string{w.primary.Name}, proxyNames, standbyNames), func(n string) bool { return n == p })
	o := others[w.rng.IntN(len(others))]
	before := make(map[[2]string]bool, len(w.cuts))
	for key := range w.cuts {
		before[key] = true
	}
	var name string
	switch w.rng.IntN(4) {
	case 0:
		name = "cut " + p + " > " + o
		w.cut(t, p, o)
	case 1:
		name = "cut " + o + " > " + p
		w.cut(t, o, p)
	case 2:
		name = "cut " + p + " = " + o
		w.apart(t, p, o)
	default:
		name = "cut off " + o
		w.isolate(t, o)
	}
	var made [][2]string
	for key := range w.cuts {
		if !before[key] {
			made = append(made, key)
		}
	}
	return affliction{name: name, end: func() {
		for _, key := range made {
			w.mend(t, key[0], key[1])
		}
	}}
}

// storm lets faults come and go for a while, and returns those that are left.
func (w *world) storm(t *testing.T, length time.Duration) (left []affliction) {
	t.Helper()
	const most = 3 // at a time
	for began := time.Now(); time.Since(began) < length; {
		if len(left) < most && w.rng.IntN(3) > 0 {
			a := w.afflict(t, left)
			w.faults[strings.Fields(a.name)[0]]++
			w.say(t, "%s", a.name)
			left = append(left, a)
		} else if len(left) > 0 {
			i := w.rng.IntN(len(left))
			left[i].end()
			w.say(t, "end of: %s", left[i].name)
			left = slices.Delete(left, i, i+1)
		}
		<-time.After(time.Duration(w.rng.IntN(400)) * time.Millisecond)
	}
	return left
}
