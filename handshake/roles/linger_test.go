package roles

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is known of a name comes no sooner than an answer of the primary about another one, and does not look surer
// while the primary is away.
func TestFindTakesAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 30 * time.Millisecond
		k := &Keeper{o: Options{Query: "q"}, users: &users{path: "", all: map[string]Role{}}, queue: make(chan *flight, 1),
			flights: map[string]*flight{}, cache: newCache(time.Minute, time.Hour), took: rtt}
		k.cache.learn("known", Role{Name: "known"}, true, time.Now())
		k.cache.learn("nobody", Role{}, false, time.Now())
		go func() { // the primary, asked once
			q := <-k.queue
			time.Sleep(rtt)
			k.mu.Lock()
			k.cache.learn(q.name, Role{}, false, time.Now())
			k.mu.Unlock()
			k.finish(q, nil)
		}()
		for _, name := range []string{"known", "nobody", "unheard of", "no\xffUTF-8"} {
			began := time.Now()
			f := k.Find(t.Context(), name)
			if took := time.Since(began); took != rtt || !f.Certain || f.Known != (name == "known") {
				t.Errorf("%q: %v, %+v", name, took, f)
			}
		}
		k.took = time.Hour
		began := time.Now()
		if k.Find(t.Context(), "known"); time.Since(began) != maxLinger {
			t.Errorf("held back for %v", time.Since(began))
		}
		k.awayAt, k.pausedUntil = time.Now(), time.Now().Add(pause)
		for _, name := range []string{"known", "nobody", "unheard of either"} {
			began := time.Now()
			if f := k.Find(t.Context(), name); f.Certain || time.Since(began) != 0 || f.Known != (name == "known") {
				t.Errorf("%q while the primary is away: %v, %+v", name, time.Since(began), f)
			}
		}
	})
}
