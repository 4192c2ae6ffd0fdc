package sim

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// seeds is the first seed and how many follow: 1,000 in CI, REPLPROXY_SIM_SEEDS from REPLPROXY_SEED on in a soak.
func seeds(t *testing.T) (first, n uint64) {
	t.Helper()
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	return number("REPLPROXY_SEED", 1), number("REPLPROXY_SIM_SEEDS", 1000)
}

// TestSeeds plays many worlds; a violation shows its seed and what led to it.
func TestSeeds(t *testing.T) {
	t.Parallel()
	first, n := seeds(t)
	var next atomic.Uint64
	var mu sync.Mutex
	var sum Stats
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < n && !t.Failed(); i = next.Add(1) - 1 {
				st, err := Run(first+i, None)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				sum.add(st)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("soak: %d seeds from %d: %+v", n, first, sum)
	if n >= 100 && (sum.Acked < sum.Commits/10 || sum.Promotions == 0 || sum.NotProven == 0 || sum.Rules == 0 || sum.Rewinds == 0 ||
		sum.Reverted == 0 || sum.Wiped == 0 || sum.Mistakes == 0 || sum.Split == 0 || sum.Differed == 0 || sum.Mended == 0) {
		t.Errorf("these worlds prove little: %+v", sum)
	}
}

// TestReplay: a seed is the whole story.
func TestReplay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		a, _ := Run(seed, None)
		b, _ := Run(seed, None)
		if a != b {
			t.Errorf("seed %d: %+v, then %+v", seed, a, b)
		}
		_, err1 := Run(seed, LooseRule)
		_, err2 := Run(seed, LooseRule)
		if (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
			t.Errorf("seed %d, broken: %v\nthen %v", seed, err1, err2)
		}
	}
}

// TestFaults: each broken variant is found by the check that is meant for it, within a few seeds from one
// that finds it. REPLPROXY_SIM_SEEDS searches that many from 0 on, after a change of the worlds.
func TestFaults(t *testing.T) {
	const within = 100
	for _, c := range []struct {
		fault Fault
		found error
		from  uint64
	}{
		{LooseRule, ErrCovered, 0},
		{UnsyncedFlush, ErrCovered, 0},
		{UnsyncedStore, ErrCovered, 0},
		{NotOwnFlush, ErrOwn, 0},
		{SameNameTwice, ErrCovered, 200},
		{OthersRules, ErrCovered, 0},
		{StaleStates, ErrCovered, 100},
		{OldTimelineVotes, ErrCovered, 800},
		{ForgetsSilent, ErrFirst, 50},
		{NoCompare, ErrCompare, 50},
		{HiddenMember, ErrCovered, 0},
		{ForgottenFence, ErrFence, 0},
		{EmptyFence, ErrFence, 0},
		{NoFence, ErrLost, 0},
		{NoFeed, ErrLost, 0},
		{NoBeginning, ErrLost, 1900},
		{IgnoresBefore, ErrLost, 0},
		{RestartsAnywhere, ErrLost, 100},
		{TrustsNumbers, ErrLost, 0},
		{AsksStoreOnly, ErrLost, 150},
		{NamelessVotes, ErrCovered, 0},
		{WipedIsFinal, ErrLost, 2700},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			first, n := c.from, uint64(within)
			if os.Getenv("REPLPROXY_SIM_SEEDS") != "" {
				_, n = seeds(t)
				first = 0
			}
			other := 0
			for seed := first; seed < first+n; seed++ {
				_, err := Run(seed, c.fault)
				if errors.Is(err, c.found) {
					line, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("%s (%d seeds broke something else before)", line, other)
					return
				}
				if err != nil {
					other++
				}
			}
			t.Errorf("not found in %d seeds from %d; %d broke something else", n, first, other)
		})
	}
}
