package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Columns of the CPU time of old WAL, per GB that receivers got.
const (
	cpuPerGB      = "CPU of all, s/GB"
	targetPerGB   = "of the target"
	receivedPerS  = "MB/s"
	deliveredMost = 4096 // MiB that one measurement sends: with many receivers each gets less
)

// plainWriter starts the limit of old WAL: what is in the primary's segment files.
func (a *arena) plainWriter(start, end lsn.LSN) *target {
	size := lsn.DefaultSegSize
	words := []string{"old", "", start.String(), end.String()}
	for at := start; at < end; at += lsn.LSN(size) {
		words = append(words, filepath.Join(a.primary.WALDir(), size.FileName(1, size.Segno(at))))
	}
	port := pgtest.FreePort(a.t)
	words[1] = strconv.Itoa(port)
	return a.self(writer, port, strings.Join(words, " "))
}

// receive has n receivers get [start, end) at once, and returns the time until the last one has it, and the bytes.
func (a *arena) receive(conninfo string, n int, start, end lsn.LSN) (took time.Duration, bytes int64) {
	ctx, cancel := context.WithTimeout(a.t.Context(), 5*time.Minute)
	defer cancel()
	all := make([]*receiver, n)
	for i := range all {
		r, err := prepareReceiver(ctx, conninfo, "bench_"+strconv.Itoa(i))
		if err != nil {
			a.t.Fatalf("connect receiver %d: %v", i, err)
		}
		defer r.close()
		all[i] = r
	}
	errs := make([]error, n)
	var running sync.WaitGroup
	began := time.Now()
	for i, r := range all {
		running.Go(func() {
			if errs[i] = r.begin(start); errs[i] == nil {
				errs[i] = r.until(end)
			}
		})
	}
	running.Wait()
	took = time.Since(began)
	for i, r := range all {
		if errs[i] != nil {
			a.t.Fatalf("receiver %d: %v", i, errs[i])
		}
		bytes += r.bytes
	}
	return took, bytes
}

// BenchmarkCatchUp: n receivers read old WAL at once.
func BenchmarkCatchUp(b *testing.B) {
	a := newArena(b, direct, cascade, haproxy, ours)
	start, end := a.fill(scale())
	a.targets = append(a.targets, a.plainWriter(start, end))
	r := newResults(fmt.Sprintf("Catch-up of %d MiB, at most %d in all", scale(), deliveredMost), "receivers",
		column{receivedPerS, true}, column{cpuPerGB, true}, column{name: targetPerGB})
	for round := range rounds() {
		for _, n := range []int{1, 4, 16, 64} {
			upTo := min(end, start+lsn.LSN(deliveredMost/n)<<20)
			for _, t := range a.inTurn(round) {
				a.measure(r, strconv.Itoa(n), t, func(stop func() usage) figures {
					took, bytes := a.receive(t.conninfo(), n, start, upTo)
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
