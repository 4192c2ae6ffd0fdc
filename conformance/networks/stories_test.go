package networks

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	shortStory = 3 // shocks, in an ordinary run
	longStory  = 8
)

// TestNetworks tells a short story of each mode, or stories for as long as `make soak` wants. A failure names the seed
// that tells its story again: REPLPROXY_SEED.
func TestNetworks(t *testing.T) {
	t.Parallel()
	seed, soak := scene.FirstSeed(t), scene.SoakTime(t)
	all := &told{counts: map[string]int{}}
	began := time.Now()
	if soak == 0 {
		t.Run("stories", func(t *testing.T) { // one after the other, and one beside them
			t.Run("two", func(t *testing.T) {
				t.Parallel()
				all.tell(t, seed, shortStory, false)
				all.tell(t, seed+1, shortStory, false)
			})
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				all.tell(t, seed+2, shortStory, false)
			})
		})
	}
	for ; soak > 0 && (all.stories == 0 || time.Since(began) < soak && !t.Failed()); seed++ {
		all.tell(t, seed, longStory, true)
	}
	t.Logf("soak: %d stories, %s, longest wait %.1fs, %d rows acknowledged", all.stories, scene.Counts(all.counts),
		all.longest.Seconds(), all.acked)
}

// told sums stories up.
type told struct {
	mu      sync.Mutex
	stories int
	acked   int64
	counts  map[string]int
	longest time.Duration
}

// tell tells the story of a seed.
func (all *told) tell(t *testing.T, seed uint64, length int, long bool) {
	t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		w := newWorld(t, seed)
		for range length {
			w.suffer(t, long)
		}
		acked := w.end(t)
		all.mu.Lock()
		defer all.mu.Unlock()
		all.stories++
		all.acked += acked
		for name, n := range w.counts {
			all.counts[name] += n
		}
		all.longest = max(all.longest, w.longest)
	})
}
