package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestMain removes the files of the harness at the end.
func TestMain(m *testing.M) { pgtest.Main(m) }

// scale shrinks the run: REPLPROXY_BENCH_MB is the WAL that a catch-up reads (default 1024).
func scale() int {
	if n, err := strconv.Atoi(os.Getenv("REPLPROXY_BENCH_MB")); err == nil && n > 0 {
		return n
	}
	return 1024
}

// world is one primary, one proxy in front of it.
type world struct {
	b       *testing.B
	in      *pgtest.Install
	primary *pgtest.Server
	proxy   *pgtest.Proxy
}

func newWorld(b *testing.B) *world {
	in := pgtest.Need(b, 15)
	p := in.Primary(b, pgtest.Settings(
		"max_wal_senders = 80", "wal_keep_size = 4GB", "max_wal_size = 8GB", "checkpoint_timeout = 1h",
		"max_connections = 150", "shared_buffers = 256MB", "autovacuum = off"))
	return &world{b: b, in: in, primary: p, proxy: pgtest.StartProxy(b, pgtest.ProxyOptions{Upstream: p.Conninfo("dbname=postgres")})}
}

// makeWAL writes about mb MiB of WAL without touching tables and returns its end.
func (w *world) makeWAL(mb int) lsn.LSN {
	const message = 1 << 20 // bytes of one record
	w.primary.Exec(w.b, fmt.Sprintf(
		"SELECT pg_logical_emit_message(false, 'bench', repeat('x', %d)) FROM generate_series(1, %d)", message, mb))
	return w.primary.CurrentLSN(w.b)
}

func (w *world) conninfo(direct bool) string {
	if direct {
		return w.primary.Conninfo("user=postgres", "dbname=postgres")
	}
	return w.proxy.Conninfo("user=postgres", "dbname=postgres")
}

// receivers streams [start, end) to n receivers at once; it returns when the last one has it all.
// started is called when all are connected.
func (w *world) receivers(n int, direct bool, start, end lsn.LSN, started func()) (time.Duration, int64) {
	ctx, cancel := context.WithTimeout(w.b.Context(), 10*time.Minute)
	defer cancel()
	all := make([]*receiver, n)
	for i := range all {
		r, err := connectReceiver(ctx, w.conninfo(direct), "bench_"+strconv.Itoa(i), start)
		if err != nil {
			w.b.Fatalf("connect receiver %d: %v", i, err)
		}
		defer r.close()
		all[i] = r
	}
	var wg sync.WaitGroup
	errs := make(chan error, n)
	begin := time.Now()
	for _, r := range all {
		wg.Go(func() { errs <- r.until(end) })
	}
	if started != nil {
		started()
	}
	wg.Wait()
	took := time.Since(begin)
	var bytes int64
	for range all {
		if err := <-errs; err != nil {
			w.b.Fatal(err)
		}
	}
	for _, r := range all {
		bytes += r.bytes
	}
	return took, bytes
}

// proxyWalsender is the primary's one walsender that serves the proxy.
func (w *world) proxyWalsender() int {
	rows := pgtest.WaitStreaming(w.b, w.primary, 1)
	pid, err := strconv.Atoi(rows[0].PID)
	if err != nil {
		w.b.Fatal(err)
	}
	return pid
}

// waitStored waits until the proxy has received target.
func (w *world) waitStored(target lsn.LSN) {
	pgtest.WaitFor(w.b, 2*time.Minute, "the proxy to hold "+target.String(), func() (bool, error) {
		rows := pgtest.PgStatReplication(w.b, w.primary)
		if len(rows) == 0 {
			return false, nil
		}
		at, err := lsn.Parse(rows[0].Flush)
		return err == nil && at >= target, nil
	})
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

// rounds of each comparison, alternating, so that drift of the machine hits both sides.
const rounds = 3

// BenchmarkCatchUp: n receivers read the same WAL from the start, direct and through the proxy.
func BenchmarkCatchUp(b *testing.B) {
	w := newWorld(b)
	start := lsn.SegSize(lsn.DefaultSegSize).Floor(w.primary.CurrentLSN(b))
	w.proxyWalsender()
	end := w.makeWAL(scale())
	w.waitStored(end)
	fmt.Printf("\ncatch-up of %d MiB on %d cores, MiB/s over all receivers, median of %d rounds\n%9s %10s %10s %8s\n",
		scale(), runtime.NumCPU(), rounds, "receivers", "direct", "replproxy", "ratio")
	for _, n := range []int{1, 16, 64} {
		if n == 64 && scale() > 256 {
			continue // 64 GiB over loopback says nothing more than 16 GiB
		}
		var direct, proxied []float64
		for range rounds {
			took, bytes := w.receivers(n, true, start, end, nil)
			direct = append(direct, float64(bytes)/took.Seconds()/(1<<20))
			took, bytes = w.receivers(n, false, start, end, nil)
			proxied = append(proxied, float64(bytes)/took.Seconds()/(1<<20))
		}
		d, p := median(direct), median(proxied)
		fmt.Printf("%9d %10.0f %10.0f %8.2f\n", n, d, p, p/d)
		b.ReportMetric(p/d, fmt.Sprintf("ratio-%d", n))
	}
}

// BenchmarkLive: WAL is produced while n receivers stream it; the CPU of the primary's walsenders is
// what a standby costs the primary.
func BenchmarkLive(b *testing.B) {
	w := newWorld(b)
	mb := max(scale()/4, 16)
	pid := w.proxyWalsender()
	fmt.Printf("\nlive fan-out of %d MiB, seconds until the last receiver has it; walsender CPU on the primary in seconds\n"+
		"%9s %8s %8s %8s   %10s %10s\n", mb, "receivers", "direct", "proxy", "ratio", "CPU direct", "CPU proxy")
	var cpuOne float64
	for _, n := range []int{1, 16, 64} {
		var direct, proxied, cpuProxy, cpuDirect []float64
		for range rounds {
			took, cpu := w.live(n, false, mb, []int{pid})
			proxied, cpuProxy = append(proxied, took), append(cpuProxy, cpu)
			took, cpu = w.live(n, true, mb, nil)
			direct, cpuDirect = append(direct, took), append(cpuDirect, cpu)
		}
		d, p, cp := median(direct), median(proxied), median(cpuProxy)
		if n == 1 {
			cpuOne = cp
		}
		fmt.Printf("%9d %8.2f %8.2f %8.2f   %10.2f %10.2f  (proxy: %.2f times one receiver)\n",
			n, d, p, d/p, median(cpuDirect), cp, cp/cpuOne)
		b.ReportMetric(cp/cpuOne, fmt.Sprintf("walsender-cpu-%d", n))
	}
}

// live starts n receivers at the current end, writes mb MiB and waits for all. It returns the seconds
// and the CPU seconds that the walsenders (pids, or those of the receivers) used meanwhile.
func (w *world) live(n int, direct bool, mb int, pids []int) (seconds, cpu float64) {
	w.waitStored(w.primary.CurrentLSN(w.b))
	start := w.primary.CurrentLSN(w.b)
	end := start + lsn.LSN(mb)<<20 // records add headers, so this lies inside what is written
	var before time.Duration
	var began time.Time
	took, _ := w.receivers(n, direct, start, end, func() {
		if pids == nil {
			pids = w.receiverPIDs(n)
		}
		before, began = w.cpu(pids), time.Now()
		w.makeWAL(mb + 1)
	})
	_ = took
	seconds = time.Since(began).Seconds()
	return seconds, (w.cpu(pids) - before).Seconds()
}

func (w *world) receiverPIDs(n int) []int {
	var pids []int
	for _, r := range pgtest.WaitStreaming(w.b, w.primary, n+1) {
		if len(r.ApplicationName) > 6 && r.ApplicationName[:6] == "bench_" {
			pid, _ := strconv.Atoi(r.PID)
			pids = append(pids, pid)
		}
	}
	return pids
}

// cpu sums the CPU time of the given walsenders; one that ended counts as zero.
func (w *world) cpu(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		if d, err := schedTime(pid); err == nil {
			sum += d
		}
	}
	return sum
}
