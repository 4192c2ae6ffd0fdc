package networks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// rule is the proxies'.
const rule = "ANY 1 (s0, s1)"

// timeout is wal_sender_timeout and wal_receiver_timeout of the servers: so long a standby is silent before somebody
// gives it up.
const timeout = 6 * time.Second

// modes are the worlds: a seed's is modes[seed % 3], so an ordinary run, with three seeds, has all.
var modes = []string{"via cluster", "alone", "via primary"}

// leg is one, and what lies at its ends.
type leg struct {
	*scene.Leg
	kind, name string
}

// world is a primary, one or two proxies, two standbys and a load, with a leg between any two.
type world struct {
	in       *pgtest.Install
	mode     string
	rng      *rand.Rand
	primary  *pgtest.Server
	proxies  []*pgtest.Proxy
	standbys []*pgtest.Server
	legs     []leg
	through  map[string]string // conninfos of clients
	load     *scene.Ledger
	counts   map[string]int
	longest  time.Duration
	seen     map[string]bool // warnings
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	in := pgtest.Need(t, 15)
	w := &world{in: in, mode: modes[seed%3], rng: rand.New(rand.NewPCG(seed, 7)), counts: map[string]int{}, seen: map[string]bool{}}
	w.primary = in.Primary(t, w.settings(), pgtest.Settings("wal_keep_size = 1GB"), pgtest.Name("primary"))
	w.startProxies(t, seed)
	last := len(w.proxies) - 1
	for i, p := range []*pgtest.Proxy{w.proxies[0], w.proxies[last]} {
		name := fmt.Sprint("s", i)
		g := w.between(t, standby, name+" to "+p.Name, p.Port, seed)
		to := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", g.Port, name)
		w.standbys = append(w.standbys, in.Standby(t, pgtest.StandbyOptions{From: w.primary, PrimaryConninfo: to},
			w.settings(), pgtest.Name(name)))
	}
	scene.WaitSatisfiable(t, w.proxies...)
	names := make([]string, len(w.proxies))
	w.through = map[string]string{}
	for i, p := range w.proxies {
		g := w.between(t, client, "clients to "+p.Name, p.Port, seed)
		names[i] = p.Name
		w.through["through_"+p.Name] = fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", g.Port)
	}
	w.primary.Set(t, fmt.Sprintf("synchronous_standby_names = 'ANY 1 (%s)'", strings.Join(names, ", ")))
	w.primary.Reload()
	w.load = scene.StartLedger(t, w.primary, w.through)
	w.load.WaitProgress(t, 3)
	return w
}

func (w *world) settings() pgtest.Option {
	return pgtest.Settings(fmt.Sprintf("wal_sender_timeout = %dms", timeout.Milliseconds()),
		fmt.Sprintf("wal_receiver_timeout = %dms", timeout.Milliseconds()), "max_wal_size = 1GB")
}

// between makes a leg.
func (w *world) between(t *testing.T, kind, name string, port int, seed uint64) leg {
	t.Helper()
	g := leg{scene.LegTo(t, port, seed), kind, name}
	w.legs = append(w.legs, g)
	return g
}

// startProxies starts one, or a cluster whose members reach each other through legs.
func (w *world) startProxies(t *testing.T, seed uint64) {
	t.Helper()
	common := scene.RuleFile(rule) + "wal: {keep_size: 256MB}\nslots: {auto_create: true}\nupstream:\n  receiver_timeout: 10s\n"
	to := func(name string) string {
		g := w.between(t, upstream, name+" to the primary", w.primary.Port, seed)
		return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", g.Port)
	}
	if w.mode == "alone" {
		config := common + fmt.Sprintf("  conninfo: %q\n", to("a"))
		w.proxies = []*pgtest.Proxy{pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "a", Config: config})}
		return
	}
	via := strings.TrimPrefix(w.mode, "via ")
	var binds []string
	names := []string{"a", "b"}
	for _, name := range names {
		w.proxies = append(w.proxies, pgtest.StartProxy(t, pgtest.ProxyOptions{Name: name, Config: "{}\n", Stopped: true,
			Upstream: to(name)}))
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t)))
	}
	for i, cluster := range pgtest.Cluster(t, binds, w.proxies...) {
		var port int
		_, _ = fmt.Sscanf(binds[i], "127.0.0.1:%d", &port)
		g := w.between(t, member, "members to "+names[i], port, seed)
		g.Packets(t)
		cluster = strings.Replace(cluster, "cluster:\n", fmt.Sprintf("cluster:\n  advertise: 127.0.0.1:%d\n", g.Port), 1)
		w.proxies[i].Configure(t, common+"  via: "+via+"\n"+cluster)
	}
	for _, p := range w.proxies {
		p.StartNoWait(t)
	}
	for _, p := range w.proxies {
		p.WaitReady(t)
	}
}

// suffer lets one shock pass and asks what is asked after each.
func (w *world) suffer(t *testing.T, long bool) {
	t.Helper()
	var g leg
	var s shock
	for {
		g, s = w.legs[w.rng.IntN(len(w.legs))], shocks[w.rng.IntN(len(shocks))]
		if s.bounds[g.kind] > 0 && (long || !s.long) {
			break
		}
	}
	w.counts[s.name+" ("+g.kind+")"]++
	t.Logf("%s %s: %s is %s", time.Now().UTC().Format("15:04:05.000"), w.mode, g.name, s.name)
	s.do(g.Leg, w.rng)
	took := w.goOn(t)
	w.longest = max(w.longest, took)
	if bound := s.bounds[g.kind]; took > bound+machine {
		t.Errorf("%s: %s was %s: commits waited %v afterwards, the bound is %v", w.mode, g.name, s.name, took, bound)
	}
	w.well(t)
}

// goOn measures the time until commits of new sessions return, through every proxy. Sessions that are there end with
// the network that they were in, as direct ones do: for those the load waits, by its own time-out.
func (w *world) goOn(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	for _, conninfo := range w.through {
		pgtest.WaitFor(t, 3*time.Minute, "a commit of a new session", func() (bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := pgtest.Query(ctx, conninfo, "CREATE TABLE IF NOT EXISTS probe (i int); INSERT INTO probe VALUES (1)")
			return err == nil, nil
		})
	}
	took := time.Since(began)
	w.load.WaitProgress(t, 1)
	return took
}

// well waits until nobody has anything to say, and looks at what was said.
func (w *world) well(t *testing.T) {
	t.Helper()
	scene.WaitSatisfiable(t, w.proxies...)
	for _, p := range w.proxies {
		var last []string
		pgtest.WaitFor(t, 2*time.Minute, p.Name+" to warn of nothing", func() (bool, error) {
			last = nil
			for _, text := range scene.Status(t, p).Warnings {
				if strings.Contains(text, "auth.method: relay") {
					continue // that is so
				}
				last = append(last, text)
				if !w.seen[text] {
					w.seen[text] = true
					t.Logf("%s warns: %s", p.Name, text)
				}
				if strings.Contains(text, "synchronous_standby_names") || strings.Contains(text, "hidden") ||
					strings.Contains(text, "somebody dropped") {
					return false, fmt.Errorf("advice about settings that are right: %s", text)
				}
			}
			return len(last) == 0, nil
		})
	}
	w.load.WaitProgress(t, 3)
}

// end kills the primary under load and finds every acknowledged row on the furthest standby.
func (w *world) end(t *testing.T) int64 {
	t.Helper()
	w.primary.Kill9(t)
	acked := w.load.Stop()
	best := w.standbys[0]
	if other := w.standbys[1]; other.ReceivedLSN(t) > best.ReceivedLSN(t) {
		best = other
	}
	best.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = ''")
	best.Promote(t)
	w.load.Verify(t, best)
	return acked
}
