package networks

import (
	"math/rand/v2"
	"time"

	"github.com/replproxy/replproxy/conformance/scene"
)

// The kinds of legs.
const (
	upstream = "upstream" // a proxy to the primary
	standby  = "standby"  // a standby to its proxy
	client   = "client"   // an application to a proxy
	member   = "member"   // one proxy to another
)

// shock is something that happens to a leg. bounds has the longest wait of commits once it is over, by the kind of
// leg, as docs/networks.md has them; a kind without one is not hit. long shocks are for soaks.
type shock struct {
	name   string
	do     func(g *scene.Leg, rng *rand.Rand)
	bounds map[string]time.Duration
	long   bool
}

// receiver is upstream.receiver_timeout of these proxies, and the time to connect anew.
const receiver = 10*time.Second + 5*time.Second

// machine is the time by which a machine that has other work may exceed a bound.
const machine = 20 * time.Second

// between draws a duration.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)))
}

// everywhere is one bound for all legs.
func everywhere(d time.Duration) map[string]time.Duration {
	return map[string]time.Duration{upstream: d, standby: d, client: d, member: d}
}

// weather lasts for a while, then the leg is as before.
func weather(least, most time.Duration, make func(rng *rand.Rand) scene.Weather) func(*scene.Leg, *rand.Rand) {
	return func(g *scene.Leg, rng *rand.Rand) {
		w := make(rng)
		g.For(between(rng, least, most), w)
	}
}

var shocks = []shock{
	{"far", weather(2*time.Second, 5*time.Second, func(rng *rand.Rand) scene.Weather {
		return scene.Weather{Delay: between(rng, 10*time.Millisecond, 150*time.Millisecond), Jitter: 20 * time.Millisecond}
	}), everywhere(5 * time.Second), false},
	{"narrow", weather(2*time.Second, 5*time.Second, func(rng *rand.Rand) scene.Weather {
		return scene.Weather{Rate: 50_000 + rng.IntN(200_000), Delay: 5 * time.Millisecond}
	}), everywhere(15 * time.Second), false}, // what has piled up is due
	{"stalled", weather(time.Second, 4*time.Second, func(*rand.Rand) scene.Weather { return scene.Weather{Stall: true} }),
		everywhere(15 * time.Second), false},
	{"stalled long", weather(10*time.Second, 25*time.Second, func(*rand.Rand) scene.Weather {
		return scene.Weather{Stall: true}
	}), everywhere(15 * time.Second), true},
	{"reset", func(g *scene.Leg, _ *rand.Rand) { g.Reset() }, everywhere(15 * time.Second), false},
	{"reset again and again", func(g *scene.Leg, rng *rand.Rand) {
		for range 5 {
			g.Reset()
			g.For(between(rng, 0, 500*time.Millisecond), scene.Weather{})
		}
	}, everywhere(15 * time.Second), false},
	{"forgotten", func(g *scene.Leg, _ *rand.Rand) { g.Forget(0) },
		map[string]time.Duration{standby: 20 * time.Second, member: 20 * time.Second}, false},
	{"a hole", weather(time.Second, 5*time.Second, func(*rand.Rand) scene.Weather { return scene.Weather{Hole: true} }),
		map[string]time.Duration{standby: 20 * time.Second, member: 20 * time.Second}, false},
	{"forgotten, found by time-outs", func(g *scene.Leg, _ *rand.Rand) { g.Forget(0) },
		map[string]time.Duration{upstream: receiver}, true},
	{"idle ones forgotten", func(g *scene.Leg, _ *rand.Rand) { g.Forget(500 * time.Millisecond) },
		map[string]time.Duration{upstream: receiver, standby: 20 * time.Second, member: 20 * time.Second}, true},
}
