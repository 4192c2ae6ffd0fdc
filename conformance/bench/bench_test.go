package bench

import (
	"os"
	"sort"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestMain removes the files of the harness at the end. A child of this program runs what it was started for.
func TestMain(m *testing.M) {
	endAsChild()
	pgtest.Main(m)
}

// scale shrinks the run: REPLPROXY_BENCH_MB is the WAL that a catch-up reads (default 1024).
func scale() int {
	if n, err := strconv.Atoi(os.Getenv("REPLPROXY_BENCH_MB")); err == nil && n > 0 {
		return n
	}
	return 1024
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}
