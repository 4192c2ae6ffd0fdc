package sim

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// seeds is the first seed and how many follow: 400 in CI, REPLPROXY_SIM_SEEDS from REPLPROXY_SEED on in a soak.
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
	return number("REPLPROXY_SEED", 1), number("REPLPROXY_SIM_SEEDS", 400)
}

// onceFailed has seeds by which faults of the proxy, or of the world, were found, each mended since. They hold as long as nothing of the
// world changes; what was mended has tests of its own.
var onceFailed = map[uint64]string{
	1088621: "WAL of a member was taken for what was written instead of lost WAL",
	2051835: "a covered standby was made anew from the primary itself, with WAL that is not covered yet",
	2024475: "nobody said that a standby was made anew which was rewound, after a loss that nothing is known of",
	5044424: "a proxy that had reported nothing itself held members' reports of what was given up against a new primary",
	4065941: "a report that went to a dead primary, which had been rewound and had voted, was not covered by its vote",
	4061369: "what a store had that was wiped twice was forgotten",
	4022601: "a rewound primary was ahead by WAL that it had written itself",
	2087074: "a proxy killed soon after it had taken what was written instead of lost WAL served a standby that has lost WAL",
	2011046: "a session that was served lost WAL was taken for one that was served what was written instead",
}

func TestOnceFailed(t *testing.T) {
	for seed, why := range onceFailed {
		if _, err := Run(seed, None); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
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
	if n >= 100 && (sum.Acked < sum.Commits/10 || sum.Promotions == 0 || sum.NotProven == 0 || sum.Rules == 0 ||
		sum.Rewinds == 0 || sum.Reverted == 0 || sum.Wiped == 0 || sum.Mistakes == 0 || sum.Split == 0 || sum.Differed == 0 || sum.Mended == 0 ||
		sum.GivenUp == 0 || sum.Refused == 0 || sum.MadeAnew == 0 || sum.Covered == 0 || sum.Unmounted == 0 || sum.Owing == 0) {
		t.Errorf("these worlds prove little: %+v", sum)
	}
}

// TestBlackout plays worlds in which all proxies and the primary die, and a server is promoted by mistake: no commit is
// acknowledged there, whoever is back first.
func TestBlackout(t *testing.T) {
	t.Parallel()
	first, n := seeds(t)
	n = max(n/4, 1)
	var sum Stats
	for seed := first; seed < first+n; seed++ {
		st, err := play(seed, None, true)
		if err != nil {
			t.Fatal(err)
		}
		sum.add(st)
	}
	t.Logf("soak: %d blackouts from %d: %+v", n, first, sum)
	if n >= 100 && (sum.Mistakes < int(n/10) || sum.Promotions == 0) {
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

// mutant is a fault, and the check that is meant for it.
type mutant struct {
	fault Fault
	found error
	often bool
}

// mutants: each is found by the check that is meant for it, with the odds that all worlds have, within the first 20,000
// seeds. Often: within 400, which is what CI searches.
var mutants = []mutant{
	{LooseRule, ErrCovered, true},
	{UnsyncedFlush, ErrCovered, true},
	{UnsyncedStore, ErrCovered, true},
	{NotOwnFlush, ErrOwn, true},
	{SameNameTwice, ErrCovered, false},
	{OthersRules, ErrCovered, true},
	{StaleStates, ErrCovered, false},
	{OldTimelineVotes, ErrCovered, false},
	{ForgetsSilent, ErrFirst, false},
	{NoCompare, ErrCompare, true},
	{HiddenMember, ErrCovered, true},
	{ForgottenFence, ErrFence, true},
	{EmptyFence, ErrFence, true},
	{NoFence, ErrLost, true},
	{NoFeed, ErrLost, true},
	{NoBeginning, ErrLost, false},
	{IgnoresBefore, ErrLost, false},
	{RestartsAnywhere, ErrLost, false},
	{TrustsNumbers, ErrLost, true},
	{AsksStoreOnly, ErrLost, false},
	{NamelessVotes, ErrCovered, true},
	{WipedIsFinal, ErrLost, false},
	{WordForAny, ErrLost, false},
	{LossNoFirst, ErrMixed, true},
	{LossByName, ErrMixed, false},
	{LossForgotten, ErrMixed, true},
	{LossServed, ErrMixed, false},
	{LossUnheard, ErrMixed, false},
	{BeginsUnsaved, ErrMixed, false},
	{HorizonReceived, ErrAhead, true},
	{HorizonByOne, ErrAhead, false},
	{EmptyDirVotes, ErrLost, false},
	{EmptyDirServes, ErrMixed, false},
	{FollowsAlone, ErrLost, true},
	{BoundForgotten, ErrLost, true},
	{MembersOwed, ErrLost, true},
	{PaidIsForgotten, ErrLost, false},
	{OwingBelieves, ErrLost, false},
}

// TestFaults takes one thing out after another, and shows by which seed that is found. REPLPROXY_SIM_MUTANTS takes all.
func TestFaults(t *testing.T) {
	all := os.Getenv("REPLPROXY_SIM_MUTANTS") != ""
	within := uint64(400)
	if all {
		within = 20_000
	}
	var mu sync.Mutex
	var first []string
	t.Run("each", func(t *testing.T) {
		for _, m := range mutants {
			if !m.often && !all {
				continue
			}
			t.Run(string(m.fault), func(t *testing.T) {
				t.Parallel()
				other := 0
				for seed := range within {
					_, err := Run(seed, m.fault)
					if errors.Is(err, m.found) {
						line, _, _ := strings.Cut(err.Error(), "\n")
						t.Logf("%s (%d seeds broke something else before)", line, other)
						mu.Lock()
						defer mu.Unlock()
						first = append(first, fmt.Sprintf("%s: %d", m.fault, seed))
						return
					}
					if err != nil {
						other++
					}
				}
				t.Errorf("not found in %d seeds; %d broke something else", within, other)
			})
		}
	})
	slices.Sort(first)
	t.Logf("soak: %d mutants found, of each the first seed: %s", len(first), strings.Join(first, ", "))
}

// TestMutants: all are in the table.
func TestMutants(t *testing.T) {
	for _, f := range Faults() {
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.fault == f }) {
			t.Errorf("%q is not searched for", f)
		}
	}
}
