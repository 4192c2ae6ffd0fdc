package hostile

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/scene"
)

const (
	minCases = 60 // of the issue

	// offered is the load for pgbench: well below the power of two cores with ten standbys.
	offered = 100

	// The windows of an ordinary run, which only shows its figures, and those of a soak, which judges them.
	shortWindow, longWindow = 3, 10 // seconds
	wantRatio               = 0.9

	attackers   = 2
	attackDelay = 20 * time.Millisecond // between two cases of one attacker

	// Peers of each kind that send a byte a second: in a soak more than there are places for log-ins.
	fewSlow, manySlow = 1, 4
)

func attacks() []attack {
	return slices.Concat(startups(), logIns(), commands(), slots(), relays(), streams(), ports(), floods())
}

// TestHostileClients plays every case while ten standbys stream and a pgbench runs, then many at once, and asks
// what the honest ones noticed.
func TestHostileClients(t *testing.T) {
	w := newWorld(t)
	w.initBench(t)
	b := w.startBench(t, offered)
	b.second(t)
	before := w.size(t)
	cases := attacks()
	if len(cases) < minCases {
		t.Errorf("%d cases", len(cases))
	}
	each := fewSlow
	if scene.SoakTime(t) > 0 {
		each = manySlow
	}
	stopSlow := startSlow(t.Context(), w, each)
	names := map[string]bool{}
	for _, a := range cases {
		if names[a.name] {
			t.Errorf("two cases are named %q", a.name)
		}
		names[a.name] = true
		t.Run(a.name, func(t *testing.T) { w.try(t, a) })
	}
	t.Logf("%d cases", len(cases))
	w.windows(t, b, cases)
	for _, err := range stopSlow() {
		t.Error(err)
	}
	b.stop(t)
	w.attached(t)
	w.verify(t)
	w.leftovers(t)
	t.Logf("before: %v; after: %v", before, w.sizeBack(t, before))
}

// try plays a case against the proxy, and against the primary.
func (w *world) try(t *testing.T, a attack) {
	if err := a.run(t.Context(), w, w.proxy.Port, a.want); err != nil {
		t.Error(err)
	}
	want := a.postgres
	switch want {
	case "-":
		return
	case "":
		want = a.want
	}
	if err := a.run(t.Context(), w, w.primary.Port, want); err != nil {
		t.Errorf("PostgreSQL: %v", err)
	}
}

// windows measures the honest clients undisturbed and under attack, in turn.
func (w *world) windows(t *testing.T, b *bench, cases []attack) {
	t.Helper()
	seconds, pairs := shortWindow, 1
	if soak := scene.SoakTime(t); soak > 0 {
		seconds = longWindow
		pairs = max(2, int(soak.Seconds())/(2*(longWindow+2)))
	}
	var calm, attacked window
	var played int64
	for range pairs {
		calm.add(w.measure(t, b, seconds))
		stop := w.attack(t, cases)
		attacked.add(w.measure(t, b, seconds))
		played += stop()
	}
	ratio := func(of func(window) float64) float64 {
		return of(attacked) / attacked.seconds / (of(calm) / calm.seconds)
	}
	tps := ratio(func(m window) float64 { return m.transactions })
	wal := ratio(func(m window) float64 { return m.wal })
	slowest := ratio(func(m window) float64 { return m.slowest })
	t.Logf("soak: %d pairs of windows of %d s, %d cases; undisturbed %v; attacked %v; "+
		"ratios: pgbench %.2f, standbys %.2f, the slowest of them %.2f",
		pairs, seconds, played, calm, attacked, tps, wal, slowest)
	if scene.SoakTime(t) > 0 && min(tps, wal, slowest) < wantRatio {
		t.Errorf("less than %.2f of the undisturbed throughput", wantRatio)
	}
}

// attack plays cases at random from several sides, beside half-open connections, until it is stopped.
func (w *world) attack(t *testing.T, cases []attack) (stop func() (played int64)) {
	t.Helper()
	cases = slices.DeleteFunc(slices.Clone(cases), func(a attack) bool { return a.heavy })
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var played atomic.Int64
	for i := range attackers {
		rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil {
				a := cases[rng.IntN(len(cases))]
				if err := a.run(ctx, w, w.proxy.Port, a.want); err != nil && ctx.Err() == nil {
					t.Errorf("%s, among others: %v", a.name, err)
				}
				played.Add(1)
				select {
				case <-time.After(attackDelay):
				case <-ctx.Done():
				}
			}
		})
	}
	all.Go(func() {
		p := &peer{w: w, ctx: ctx, port: w.proxy.Port}
		defer p.close()
		for i := 0; i < halfOpen && ctx.Err() == nil; i++ {
			p.dial().send(halfPacket(i))
		}
		<-ctx.Done()
	})
	return func() int64 {
		cancel()
		all.Wait()
		return played.Load()
	}
}
