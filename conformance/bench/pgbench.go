package bench

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

var tpsLine = regexp.MustCompile(`tps = ([0-9.]+) \((?:without initial|including reconnection)`)

// sample is one measurement: milliseconds, and transactions per second.
type sample struct {
	mean, p50, p99, tps float64
	n                   int // of transactions
}

// runPgbench runs commit.sql in dir and reads each transaction's latency from its log.
func runPgbench(t testing.TB, in *pgtest.Install, primary *pgtest.Server, dir string, clients, seconds int) sample {
	prefix := filepath.Join(dir, "log")
	out := in.RunTool(t, dir, "pgbench", "-n", "-f", filepath.Join(dir, "commit.sql"), "-c", strconv.Itoa(clients),
		"-j", strconv.Itoa(min(clients, 2)), "-T", strconv.Itoa(seconds), "-l", "--log-prefix="+prefix,
		"-h", "127.0.0.1", "-p", strconv.Itoa(primary.Port), "-U", "postgres", "postgres")
	m := tpsLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no tps in %q", out)
	}
	tps, _ := strconv.ParseFloat(m[1], 64)
	files, _ := filepath.Glob(prefix + ".*")
	var ms []float64
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			fields := strings.Fields(sc.Text()) // client, transaction, microseconds, …
			if len(fields) < 3 {
				continue
			}
			us, err := strconv.ParseFloat(fields[2], 64)
			if err != nil {
				t.Fatalf("log of pgbench: %q", sc.Text())
			}
			ms = append(ms, us/1000)
		}
		f.Close()
		_ = os.Remove(path)
	}
	if len(ms) == 0 {
		t.Fatal("no transactions in pgbench's log")
	}
	sort.Float64s(ms)
	sum := 0.0
	for _, v := range ms {
		sum += v
	}
	return sample{sum / float64(len(ms)), ms[len(ms)/2], ms[len(ms)*99/100], tps, len(ms)}
}
