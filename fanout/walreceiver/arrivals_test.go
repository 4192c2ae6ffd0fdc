package walreceiver

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/histogram"
)

// TestArrivals: WAL is counted once the upstream is told of it, with the time since it came, and neither side
// allocates.
func TestArrivals(t *testing.T) {
	var a arrivals
	var h histogram.Histogram
	a.told(100, time.Hour, &h)
	a.came(10, 1*time.Second)
	a.came(20, 2*time.Second)
	a.came(30, 3*time.Second)
	a.told(25, 4*time.Second, &h)
	if _, n := h.Snapshot().Cumulative(); n != 2 || h.Snapshot().Sum != 5*time.Second {
		t.Errorf("%d took %v, want 2 that took 5s", n, h.Snapshot().Sum)
	}
	a.told(25, 9*time.Second, &h)
	a.told(30, 4*time.Second, &h)
	if _, n := h.Snapshot().Cumulative(); n != 3 || h.Snapshot().Sum != 6*time.Second {
		t.Errorf("%d took %v, want 3 that took 6s", n, h.Snapshot().Sum)
	}
	for i := range 2 * arrivalsKept { // nobody reports: the first ones are kept
		a.came(lsn.LSN(100+i), 5*time.Second)
	}
	a.told(lsn.LSN(100+2*arrivalsKept), 6*time.Second, &h)
	if _, n := h.Snapshot().Cumulative(); n != 3+arrivalsKept {
		t.Errorf("%d were counted, want %d", n, 3+arrivalsKept)
	}
	if n := testing.AllocsPerRun(100, func() {
		a.came(1000, 0)
		a.told(1000, 0, &h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
