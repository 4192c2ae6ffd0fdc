package bench

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Columns of live WAL.
const (
	lagP50    = "lag p50, ms"
	lagP99    = "p99"
	sendersIn = "walsenders, % of a core"
	targetIn  = "target, %"
	gotIn     = "MB/s each"
)

// liveRate is the WAL of the live scenario in MB/s, in a hundred commits a second.
const liveRate = 20

// source writes WAL at a rate and, now and then, a transaction whose way to the sinks is timed.
type source struct {
	a       *arena
	cancel  context.CancelFunc
	running sync.WaitGroup
	probes  []probe
}

// probe is one transaction: when its commit was asked for, and the end of its record.
type probe struct {
	asked time.Time
	at    lsn.LSN
}

// write starts a source of so many bytes and commits per second.
func (a *arena) write(bytesPerSecond float64, commits int) *source {
	ctx, cancel := context.WithCancel(a.t.Context())
	s := &source{a: a, cancel: cancel}
	const record = 560 // bytes of one message of 512
	sql := fmt.Sprintf("SELECT count(pg_logical_emit_message(true, 'bench', repeat('0123456789abcdef', 32))) FROM generate_series(1, %d)",
		max(1, int(bytesPerSecond)/commits/record))
	s.every(ctx, time.Second/time.Duration(commits), func(query func(string) ([][]string, error)) error {
		_, err := query(sql)
		return err
	})
	s.every(ctx, 50*time.Millisecond, func(query func(string) ([][]string, error)) error {
		asked := time.Now()
		rows, err := query("SELECT pg_logical_emit_message(true, 'probe', 'x')")
		if err != nil {
			return err
		}
		at, err := lsn.Parse(rows[0][0])
		s.probes = append(s.probes, probe{asked, at})
		return err
	})
	return s
}

// every runs f at intervals with a connection of its own, until ctx ends.
func (s *source) every(ctx context.Context, interval time.Duration, f func(query func(string) ([][]string, error)) error) {
	c := s.a.primary.Connect(s.a.t)
	s.running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// Not ctx: what has begun ends.
			if err := f(func(sql string) ([][]string, error) { return pgtest.QueryConn(s.a.t.Context(), c, sql) }); err != nil {
				s.a.t.Errorf("write WAL: %v", err)
				return
			}
		}
	})
}

// stop ends the source and returns its probes.
func (s *source) stop() []probe {
	s.cancel()
	s.running.Wait()
	return s.probes
}

// lags returns p50 and p99 of the time from asking for a commit to its arrival at a sink, in ms, over all sinks and the
// probes of a time. Those that never arrived are counted apart.
func lags(probes []probe, all []*sink, from, to time.Time) (p50, p99 float64, missing int) {
	var ms []float64
	for _, s := range all {
		for _, p := range probes {
			if p.asked.Before(from) || p.asked.After(to) {
				continue
			}
			i := sort.Search(len(s.arrivals), func(i int) bool { return s.arrivals[i].at >= p.at })
			if i == len(s.arrivals) {
				missing++
				continue
			}
			ms = append(ms, float64(s.arrivals[i].when.Sub(p.asked))/float64(time.Millisecond))
		}
	}
	if len(ms) == 0 {
		return 0, 0, missing
	}
	sort.Float64s(ms)
	return ms[len(ms)/2], ms[len(ms)*99/100], missing
}

// crowd is a number of sinks that stream from one target.
type crowd struct {
	sinks   []*sink
	running sync.WaitGroup
}

// gather connects n sinks that stream from a position on and note arrivals.
func (a *arena) gather(conninfo string, n int, at lsn.LSN) *crowd {
	const atOnce = 8 // log-ins
	c := &crowd{sinks: make([]*sink, n)}
	var connecting errgroup.Group
	connecting.SetLimit(atOnce)
	for i := range n {
		connecting.Go(func() error {
			s, err := connectSink(a.t.Context(), conninfo, "bench_"+strconv.Itoa(i), at)
			if err != nil {
				return fmt.Errorf("connect sink %d: %w", i, err)
			}
			s.times = true
			c.sinks[i] = s
			c.running.Go(func() { _ = s.run() }) // it ends with the connection: what did not arrive is missed then
			return nil
		})
	}
	if err := connecting.Wait(); err != nil {
		a.t.Fatal(err)
	}
	return c
}

// part ends the sinks.
func (c *crowd) part() {
	for _, s := range c.sinks {
		s.close()
	}
	c.running.Wait()
}

// liveRound measures n sinks of one target while WAL is written for a while.
func (a *arena) liveRound(t *target, n int, bytesPerSecond float64, commits int, length time.Duration, stop func() usage) figures {
	w := a.write(bytesPerSecond, commits)
	c := a.gather(t.conninfo(), n, lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(a.t)))
	pause(length / 4) // until all have what was before, and the rate is steady
	before, at := usageOf(a.primary.PID(), t.pid), a.primary.CurrentLSN(a.t)
	pause(length)
	u, end := usageOf(a.primary.PID(), t.pid).since(before), a.primary.CurrentLSN(a.t)
	stop()
	probes := w.stop()
	pause(100 * time.Millisecond) // whoever keeps up has it by then
	c.part()
	f := figures{
		gotIn: float64(end-at) / 1e6 / u.seconds(), sendersIn: 100 * u.senders.Seconds() / u.seconds(),
	}
	if t.pid != 0 {
		f[targetIn] = 100 * u.other.Seconds() / u.seconds()
	}
	p50, p99, missing := lags(probes, c.sinks, before.when, before.when.Add(length))
	if missing > 0 {
		f[missed] = float64(missing)
	}
	if p50 > 0 {
		f[lagP50], f[lagP99] = p50, p99
	}
	return f
}

// missed counts probes that had not arrived when a round ended: the target does not keep up.
const missed = "late"

// BenchmarkLive: WAL is written at a steady rate while n sinks stream it.
func BenchmarkLive(b *testing.B) {
	a := newArena(b, direct, cascade, haproxy, ours, writer)
	r := newResults(fmt.Sprintf("Live, %d MB/s in 100 commits a second, sinks acknowledge at once", liveRate), "sinks",
		column{lagP50, true}, column{lagP99, true}, column{name: sendersIn}, column{name: targetIn}, column{name: gotIn}, column{name: missed})
	for round := range rounds() {
		for _, n := range []int{1, 16, 64} {
			for _, t := range a.inTurn(round) {
				a.measure(r, strconv.Itoa(n), t, func(stop func() usage) figures {
					return a.liveRound(t, n, liveRate*1e6, 100, time.Duration(seconds(4))*time.Second, stop)
				})
			}
		}
	}
	r.print()
}
