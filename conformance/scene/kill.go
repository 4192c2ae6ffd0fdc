package scene

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Random makes the same choices in every ordinary run; `make soak` gives other seeds.
func Random(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(FirstSeed(t), 0))
}

func FirstSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("REPLPROXY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("REPLPROXY_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("REPLPROXY_SEED=%d", seed)
	return seed
}

// SoakTime returns the least length that `make soak` wants of a test.
func SoakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("REPLPROXY_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("REPLPROXY_SOAK: %v", err)
	}
	return d
}
