package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// relays are the targets of what is passed on to the primary.
func relays() []string { return []string{direct, haproxy, pgbouncer, ours, relayLoop} }

// pgbenchAt runs pgbench through a target and returns its transactions per second.
func (a *arena) pgbenchAt(t *target, user string, args ...string) float64 {
	cmd := a.in.Tool(a.t, a.dir, "pgbench", append(args, "-n", "-h", "127.0.0.1", "-p", strconv.Itoa(t.port), "-U", user, "postgres")...)
	cmd.Env = append(cmd.Env, "PGPASSWORD="+provenPassword)
	out, err := cmd.CombinedOutput()
	m := tpsLine.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		a.t.Fatalf("pgbench through %s: %v\n%s", t.name, err, out)
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

// BenchmarkRelay: pgbench -S, simple and prepared, straight and through each relay.
func BenchmarkRelay(b *testing.B) {
	a := newArena(b, relays()...)
	a.in.RunTool(b, a.dir, "pgbench", "-i", "-s", "10", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(a.primary.Port), "-U", "postgres", "postgres")
	r := newResults("pgbench -S", "protocol, clients", column{perSecond, true}, column{name: primaryPerTx}, column{name: targetPerTx})
	length := seconds(3)
	for round := range rounds() {
		for _, mode := range []string{"simple", "prepared"} {
			for _, clients := range []int{1, 16} {
				for _, t := range a.inTurn(round) {
					a.measure(r, fmt.Sprintf("%s, %d", mode, clients), t, func(stop func() usage) figures {
						tps := a.pgbenchAt(t, "postgres", "-S", "-M", mode, "-c", strconv.Itoa(clients), "-j", "1", "-T", strconv.Itoa(length))
						return perTransaction(t, tps, tps*float64(length), stop())
					})
				}
			}
		}
	}
	r.print()
}

func perTransaction(t *target, tps, n float64, u usage) figures {
	each := n * float64(time.Microsecond)
	f := figures{perSecond: tps, primaryPerTx: float64(u.primary) / each}
	if t.pid != 0 {
		f[targetPerTx] = float64(u.other) / each
	}
	return f
}

// BenchmarkConnections: pgbench -C -S, a new connection for each query, with trust and with SCRAM. PgBouncer has its
// connections to the server already, so with trust its figure is of another thing.
func BenchmarkConnections(b *testing.B) {
	a := newArena(b, relays()...)
	a.in.RunTool(b, a.dir, "pgbench", "-i", "-s", "1", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(a.primary.Port), "-U", "postgres", "postgres")
	r := newResults("New connections, pgbench -C -S", "log-in, clients", column{perSecond, true}, column{name: primaryPerTx}, column{name: targetPerTx})
	length := seconds(2)
	for round := range rounds() {
		for _, login := range []struct{ name, user string }{{"trust", "postgres"}, {"SCRAM", "proven"}} {
			for _, clients := range []int{1, 8} {
				for _, t := range a.inTurn(round) {
					a.measure(r, fmt.Sprintf("%s, %d", login.name, clients), t, func(stop func() usage) figures {
						tps := a.pgbenchAt(t, login.user, "-C", "-S", "-c", strconv.Itoa(clients), "-j", "1", "-T", strconv.Itoa(length))
						return perTransaction(t, tps, tps*float64(length), stop())
					})
				}
			}
		}
	}
	r.print()
}

// BenchmarkCopy: COPY TO STDOUT of large values over 1 and 4 connections.
func BenchmarkCopy(b *testing.B) {
	a := newArena(b, relays()...)
	r := newResults("COPY out", "connections", column{receivedPerS, true}, column{cpuPerGB, true}, column{name: targetPerGB})
	for round := range rounds() {
		for _, n := range []int{1, 4} {
			for _, t := range a.inTurn(round) {
				a.measure(r, strconv.Itoa(n), t, func(stop func() usage) figures {
					took, bytes := a.copyOut(t, n, max(scale(), 64)*10/n)
					u, gb := stop(), float64(bytes)/1e9
					f := figures{receivedPerS: 1000 * gb / took.Seconds(), cpuPerGB: (u.primary + u.other).Seconds() / gb}
					if t.pid != 0 {
						f[targetPerGB] = u.other.Seconds() / gb
					}
					return f
				})
			}
		}
	}
	r.print()
}

// copyOut copies so many values of 100 kB over each of n connections.
func (a *arena) copyOut(t *target, n, values int) (took time.Duration, bytes int64) {
	sql := fmt.Sprintf("COPY (SELECT repeat('x', 100000)::bytea FROM generate_series(1, %d)) TO STDOUT (FORMAT binary)", values)
	ctx, cancel := context.WithTimeout(a.t.Context(), 5*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	counts, errs := make([]count, n), make([]error, n)
	began := time.Now()
	for i := range n {
		running.Go(func() {
			c, err := pgtest.Dial(ctx, t.conninfo())
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close(ctx)
			_, errs[i] = c.CopyTo(ctx, &counts[i], sql)
		})
	}
	running.Wait()
	for i := range n {
		if errs[i] != nil {
			a.t.Fatalf("COPY through %s: %v", t.name, errs[i])
		}
		bytes += int64(counts[i])
	}
	return time.Since(began), bytes
}

// count counts the bytes that are written to it.
type count int64

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}
