package operators

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/scene"
)

const (
	shortStory = 4 // moves, in an ordinary run
	longStory  = 8
)

// TestOperators tells one short story, or stories for as long as `make soak` wants. A failure names the seed that tells
// its story again: REPLPROXY_SEED.
func TestOperators(t *testing.T) {
	t.Parallel()
	seed, soak := scene.FirstSeed(t), scene.SoakTime(t)
	length := shortStory
	if soak > 0 {
		length = longStory
	}
	began, stories, acked, counts := time.Now(), 0, int64(0), map[string]int{}
	for stories == 0 || time.Since(began) < soak && !t.Failed() {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range length {
				w.tell(t, moves[w.rng.IntN(len(moves))])
			}
			acked += w.end(t)
			for name, n := range w.counts {
				counts[name] += n
			}
		})
		stories++
		seed++
	}
	t.Logf("soak: %d stories, %s, %d rows acknowledged", stories, scene.Counts(counts), acked)
}
