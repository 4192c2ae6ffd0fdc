package histogram

import (
	"math"
	"testing"
	"time"
)

// TestObserve: each time is in the first step whose bound it does not exceed.
func TestObserve(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		step int
	}{
		{-time.Second, 0}, {0, 0}, {1, 0}, {lowest, 0}, {lowest + 1, 1}, {2 * lowest, 1}, {2*lowest + 1, 2}, {3*lowest + 1, 2},
		{4 * lowest, 2}, {4*lowest + 1, 3}, {Bound(Steps - 1), Steps - 1}, {Bound(Steps-1) + 1, Steps}, {math.MaxInt64, Steps},
	} {
		var h Histogram
		h.Observe(c.d)
		s := h.Snapshot()
		by, all := s.Cumulative()
		if s.Counts[c.step] != 1 || all != 1 || s.Sum != max(c.d, 0) || len(by) != Steps {
			t.Errorf("%v: %v", c.d, s)
		}
		for i := range Steps {
			if want := uint64(0); by[Bound(i).Seconds()] != want && i < c.step {
				t.Errorf("%v: below the bound %v there is one", c.d, Bound(i))
			} else if i >= c.step && by[Bound(i).Seconds()] != 1 {
				t.Errorf("%v: not at most %v", c.d, Bound(i))
			}
		}
	}
}

// TestObserveAllocatesNothing: the path of WAL calls it.
func TestObserveAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
