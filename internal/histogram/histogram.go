package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// lowest is the bound of the first step: a shorter time is no news of a disk or a network.
	lowest = 16 * time.Microsecond
	// Steps is the number of steps with a bound: the last one has 34 s.
	Steps = 22
)

// Histogram counts times. Any goroutine may call its methods. The zero value is ready.
type Histogram struct {
	counts [Steps + 1]atomic.Uint64 // the last one of those beyond every bound
	sum    atomic.Int64
}

// Observe counts a time; one below zero counts as zero. It takes no lock and allocates nothing.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	step := 0
	if d > lowest {
		step = bits.Len64(uint64(d-1) / uint64(lowest))
	}
	h.counts[min(step, Steps)].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot holds the counts of a [Histogram] at one moment. A time that is counted meanwhile may be in one part of it
// only.
type Snapshot struct {
	Counts [Steps + 1]uint64 // by step, the last one beyond every bound
	Sum    time.Duration
}

// Snapshot returns the counts so far.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Bound returns the longest time that step i counts.
func Bound(i int) time.Duration { return lowest << i }

// Cumulative returns how many times were at most as long as each bound, by the bound in seconds, and how many there
// were.
func (s Snapshot) Cumulative() (by map[float64]uint64, all uint64) {
	by = make(map[float64]uint64, Steps)
	for i, n := range s.Counts {
		all += n
		if i < Steps {
			by[Bound(i).Seconds()] = all
		}
	}
	return by, all
}
