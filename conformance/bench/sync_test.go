package bench

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Columns of transactions.
const (
	meanMS       = "mean, ms"
	p50MS        = "p50, ms"
	p99MS        = "p99, ms"
	perSecond    = "tps"
	primaryPerTx = "CPU of the primary, µs"
	targetPerTx  = "of the target, µs"
)

// nobody is the pseudo target of commits that wait for nobody.
const nobody = "nobody waited for"

// BenchmarkSync: latency of a commit that waits for ANY 1 and ANY 2 of three sinks that acknowledge at once: attached to
// the primary, through HAProxy, behind replproxy. What BenchmarkCommit does with standbys that sync and apply.
func BenchmarkSync(b *testing.B) {
	a := newArena(b, direct, haproxy, ours, written)
	r := newResults(fmt.Sprintf("Commits that wait for sinks that acknowledge at once, %d of them", sinks), "rule, clients",
		column{meanMS, true}, column{name: p50MS}, column{p99MS, true}, column{name: perSecond}, column{name: primaryPerTx}, column{name: targetPerTx})
	for round := range rounds() {
		for _, need := range []int{1, 2} {
			for _, t := range append(a.inTurn(round), &target{name: nobody}) {
				a.alone(t)
				release := func() {}
				if t.name != nobody {
					release = a.attachSinks(t, fmt.Sprintf("ANY %d (s1, s2, s3)", need))
				}
				for _, clients := range []int{1, 8} {
					a.warmUp(clients)
					a.measure(r, fmt.Sprintf("ANY %d, %d", need, clients), t, func(stop func() usage) figures {
						return a.commits(t, clients, stop)
					})
				}
				release()
			}
		}
	}
	r.print()
}

// warmUp makes some commits, the first of which say nothing.
func (a *arena) warmUp(clients int) {
	a.in.RunTool(a.t, a.dir, "pgbench", "-n", "-f", filepath.Join(a.dir, "commit.sql"), "-c", strconv.Itoa(clients), "-t", "200",
		"-h", "127.0.0.1", "-p", strconv.Itoa(a.primary.Port), "-U", "postgres", "postgres")
}

// commits measures pgbench's inserts.
func (a *arena) commits(t *target, clients int, stop func() usage) figures {
	s := runPgbench(a.t, a.in, a.primary, a.dir, clients, seconds(3))
	u, each := stop(), float64(time.Microsecond)*float64(s.n)
	f := figures{
		meanMS: s.mean, p50MS: s.p50, p99MS: s.p99, perSecond: s.tps, primaryPerTx: float64(u.primary) / each,
	}
	if t.pid != 0 {
		f[targetPerTx] = float64(u.other) / each
	}
	return f
}

// attachSinks attaches three sinks to a target and makes commits wait for them under a rule. release ends that.
func (a *arena) attachSinks(t *target, rule string) (release func()) {
	names, count := rule, sinks
	if t.proxy != nil {
		t.proxy.Configure(a.t, proxyConfig(t.name, rule))
		t.proxy.Signal(syscall.SIGHUP)
		names, count = "ANY 1 ("+t.stream+")", 1
	}
	start := lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(a.t))
	c := &crowd{}
	for i := range sinks {
		s, err := connectSink(a.t.Context(), t.conninfo(), fmt.Sprintf("s%d", i+1), start)
		if err != nil {
			a.t.Fatalf("connect a sink to %s: %v", t.name, err)
		}
		c.sinks = append(c.sinks, s)
		c.running.Go(func() { _ = s.run() }) // it ends with the connection: who waits for it, waits for commits
	}
	if t.proxy != nil {
		pgtest.WaitFor(a.t, time.Minute, t.name+" to count three standbys", func() (bool, error) {
			_, body, err := t.proxy.Get(a.t.Context(), "/status")
			text := strings.ReplaceAll(string(body), `": "`, `":"`)
			return err == nil && strings.Count(text, `"standing":"counts"`) >= sinks && strings.Contains(text, rule), nil
		})
	}
	a.primary.WaitsFor(a.t, names)
	pgtest.WaitFor(a.t, time.Minute, "commits to wait for "+names, func() (bool, error) {
		n := 0
		for _, w := range pgtest.PgStatReplication(a.t, a.primary) {
			if w.SyncState == "quorum" && w.State == "streaming" {
				n++
			}
		}
		return n >= count, nil
	})
	return func() {
		a.primary.WaitsFor(a.t, "")
		c.part()
		if t.proxy != nil { // a rule that nobody satisfies would hold reports back, which the next round waits for
			t.proxy.Configure(a.t, proxyConfig(t.name, ""))
			t.proxy.Signal(syscall.SIGHUP)
		}
	}
}
