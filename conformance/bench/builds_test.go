package bench

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// build is one of the programs that are compared.
type build struct {
	name   string
	binary string // "": this code's
	config string // more of its file
}

// trustLoopback lets in whoever the primary lets in without a proof. The harness says it to this code's build only.
const trustLoopback = `access: ["host all all 127.0.0.0/8 trust", "host replication all 127.0.0.0/8 trust"]` + "\n"

// builds returns the one that is compared with, by REPLPROXY_BASE a commit and else the release before, and this one.
func builds(b *testing.B) (base, now build) {
	if commit := os.Getenv("REPLPROXY_BASE"); commit != "" {
		return build{name: commit, binary: pgtest.BuildOf(b, commit), config: trustLoopback}, build{name: "now"}
	}
	r, path := pgtest.PreviousRelease(b)
	return build{name: r.Version, binary: path}, build{name: "now"}
}

// BenchmarkBuilds: this build and another one in one run, round by round in turn. It measures a commit that waits for
// ANY 1 of three sinks, also with wal.report: written, and the relay of pgbench -S.
func BenchmarkBuilds(b *testing.B) {
	base, now := builds(b)
	seconds := 6
	if scale() < 1024 {
		seconds = 1
	}
	compareCommits(b, seconds, base, now, build{name: "now, written", config: "wal: {report: written}\n"})
	compareRelays(b, seconds, base, now)
}

// compareCommits prints the latency of a commit behind each build, and the proxy's CPU time of one.
func compareCommits(b *testing.B, seconds int, all ...build) {
	g := newGateway(b)
	type result struct{ p50, p99, cpu []float64 }
	got, native := map[string]*result{}, map[string][]float64{}
	key := func(clients int, name string) string { return fmt.Sprint(clients, " ", name) }
	data := map[string]string{}
	for range rounds() {
		for _, clients := range []int{1, 8} {
			g.part()
			k := key(clients, "")
			native[k] = append(native[k], runPgbench(b, g.in, g.primary, g.dir, clients, seconds).p50)
		}
		for i, x := range all {
			g.attach(pgtest.ProxyOptions{
				Name: "build" + strconv.Itoa(i), DataDir: data[x.name], Binary: x.binary, Config: x.config,
			})
			data[x.name] = g.proxy.DataDir
			for _, clients := range []int{1, 8} {
				runPgbench(b, g.in, g.primary, g.dir, clients, 1) // the first second says nothing
				before := g.cpu()
				s := runPgbench(b, g.in, g.primary, g.dir, clients, seconds)
				k := key(clients, x.name)
				if got[k] == nil {
					got[k] = new(result)
				}
				r := got[k]
				r.p50, r.p99 = append(r.p50, s.p50), append(r.p99, s.p99)
				r.cpu = append(r.cpu, float64(g.cpu()-before)/float64(time.Microsecond)/float64(s.n))
			}
		}
	}
	fmt.Printf("\ncommits that wait for ANY 1 of %d sinks, %d s, median of %d rounds; ratio to %s\n"+
		"clients  %-16s %9s %9s %9s  %6s\n", sinks, seconds, rounds(), all[0].name, "", "p50 ms", "p99 ms", "CPU µs", "p50")
	for _, clients := range []int{1, 8} {
		fmt.Printf("%7d  %-16s %9.2f\n", clients, "nobody waited", median(native[key(clients, "")]))
		first := median(got[key(clients, all[0].name)].p50)
		for _, x := range all {
			r := got[key(clients, x.name)]
			fmt.Printf("%7d  %-16s %9.2f %9.2f %9.0f  %6.2f\n", clients, x.name, median(r.p50), median(r.p99), median(r.cpu),
				median(r.p50)/first)
		}
	}
}

// compareRelays prints the transactions per second of pgbench -S through each build.
func compareRelays(b *testing.B, seconds int, all ...build) {
	w := newArena(b)
	dir := w.dir
	pgbench := func(port int, args ...string) float64 {
		out := w.in.RunTool(b, dir, "pgbench", append([]string{
			"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres", "postgres"}, args...)...)
		m := tpsLine.FindStringSubmatch(out)
		if m == nil {
			return 0
		}
		tps, _ := strconv.ParseFloat(m[1], 64)
		return tps
	}
	pgbench(w.primary.Port, "-i", "-s", "10", "-q")
	var proxies []*pgtest.Proxy
	for i, x := range all {
		proxies = append(proxies, pgtest.StartProxy(b, pgtest.ProxyOptions{
			Name: "relay" + strconv.Itoa(i), Upstream: w.primary.Conninfo("dbname=postgres"), Binary: x.binary, Config: x.config,
		}))
	}
	fmt.Printf("\npgbench -S, %d s, median of %d rounds, transactions per second; ratio to %s\n", seconds, rounds(), all[0].name)
	for _, mode := range []string{"simple", "prepared"} {
		for _, clients := range []int{1, 16} {
			tps := make([][]float64, len(all))
			for range rounds() {
				for i, p := range proxies {
					tps[i] = append(tps[i], pgbench(p.Port, "-S", "-n", "-M", mode, "-c", strconv.Itoa(clients),
						"-j", "2", "-T", strconv.Itoa(seconds)))
				}
			}
			for i, x := range all {
				fmt.Printf("%-8s %2d clients  %-12s %8.0f  %5.2f\n", mode, clients, x.name, median(tps[i]),
					median(tps[i])/median(tps[0]))
			}
		}
	}
}
