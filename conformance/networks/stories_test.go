package networks

import (
	"fmt"
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

// TestNetworks tells short stories, or stories for as long as `make soak` wants. A failure names the seed that tells its
// story again: REPLPROXY_SEED.
func TestNetworks(t *testing.T) {
	t.Parallel()
	seed, soak := scene.FirstSeed(t), scene.SoakTime(t)
	length, least := shortStory, 2
	if soak > 0 {
		length, least = longStory, 1
	}
	began, stories, acked, counts, longest := time.Now(), 0, int64(0), map[string]int{}, time.Duration(0)
	for stories < least || time.Since(began) < soak && !t.Failed() {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range length {
				w.suffer(t, soak > 0)
			}
			acked += w.end(t)
			for name, n := range w.counts {
				counts[name] += n
			}
			longest = max(longest, w.longest)
		})
		stories++
		seed++
	}
	t.Logf("soak: %d stories, %s, longest wait %.1fs, %d rows acknowledged", stories, scene.Counts(counts),
		longest.Seconds(), acked)
}
