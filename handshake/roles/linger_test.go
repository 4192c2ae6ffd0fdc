package roles

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// bare is a lookup whose questions the test answers.
func bare() *Lookup {
	no := func() bool { return false }
	return &Lookup{o: Options{Query: "q", Down: no, Fenced: no}, users: &users{path: "", all: map[string]Role{}},
		first: make(chan *flight, 1), queue: make(chan *flight, 1),
		flights: map[string]*flight{}, cache: newCache(time.Minute, time.Hour), hold: minHold}
}

// What is known of a name comes no sooner than an answer of the primary about another one, and does not look surer
// while the primary is away.
func TestFindTakesAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt, hold = 20 * time.Millisecond, 30 * time.Millisecond
		k := bare()
		k.hold = hold
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
			began, hold := time.Now(), rung(k.hold)
			f := k.Find(t.Context(), name)
			if took := time.Since(began); took != hold || !f.Certain || f.Known != (name == "known") {
				t.Errorf("%q: %v, %+v", name, took, f)
			}
		}
		k.awayAt, k.retryAt, k.silent = time.Now(), time.Now().Add(retryAfter), true
		k.o.Down = func() bool { return true }
		for _, name := range []string{"known", "nobody", "unheard of either"} {
			began := time.Now()
			if f := k.Find(t.Context(), name); f.Certain || time.Since(began) != 0 || f.Known != (name == "known") {
				t.Errorf("%q while the primary is away: %v, %+v", name, time.Since(began), f)
			}
		}
	})
}

// The time for which answers are held back follows the slowest questions, up at once and down slowly, within bounds.
func TestHold(t *testing.T) {
	now := minHold
	for _, step := range []struct{ took, atLeast, atMost time.Duration }{
		{0, minHold, minHold}, {4 * time.Millisecond, 5 * time.Millisecond, 5 * time.Millisecond},
		{2 * time.Millisecond, 4 * time.Millisecond, 5 * time.Millisecond}, {time.Hour, 4 * 4 * time.Millisecond, 4 * 5 * time.Millisecond},
		{time.Hour, 60 * time.Millisecond, 80 * time.Millisecond}, {time.Hour, maxHold, maxHold},
	} {
		if now = holdFor(now, step.took); now < step.atLeast || now > step.atMost {
			t.Errorf("after %v: %v", step.took, now)
		}
	}
	for range 1000 {
		now = holdFor(now, time.Millisecond)
	}
	if now > minHold+time.Millisecond {
		t.Errorf("it stays at %v", now)
	}
}

// Busy is not down (ruling R33): what was known is used only while no primary is there, however the question failed.
func TestBusyIsNotDown(t *testing.T) {
	refused := errors.New("refused with 53300")
	for _, tc := range []struct {
		name   string
		answer error // nil: none comes
		full   bool  // too many questions wait
		silent bool  // of the question before
		down   bool  // the walreceiver says so
		fenced bool
		yes    bool
		within time.Duration
	}{
		{name: "a full queue", full: true},
		{name: "a full queue while down", full: true, silent: true, down: true, yes: true},
		{name: "a full queue, with a walreceiver that has lost its stream", full: true, down: true},
		{name: "a slow answer", within: askWait},
		{name: "no answer and no stream", down: true, yes: true, within: staleWait},
		{name: "a refusal", answer: refused},
		{name: "a refusal, and no stream", answer: refused, down: true},
		{name: "a refusal of a fenced timeline", answer: refused, fenced: true, yes: true},
		{name: "nothing, and a stream that goes on", answer: refused, silent: true, within: staleWait},
		{name: "nothing, and no stream", answer: refused, silent: true, down: true, yes: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := bare()
				k.o.Down, k.o.Fenced = func() bool { return tc.down }, func() bool { return tc.fenced }
				k.cache.learn("role", Role{Name: "role"}, true, time.Now())
				time.Sleep(2 * time.Minute) // older than cache_ttl
				k.silent = tc.silent
				if tc.full {
					k.first <- &flight{}
				} else if tc.answer != nil {
					go func() { k.finish(<-k.first, tc.answer) }()
				}
				began := time.Now()
				f := k.Find(t.Context(), "role")
				if f.Known != tc.yes || f.Certain || time.Since(began) != tc.within {
					t.Errorf("%+v after %v", f, time.Since(began))
				}
			})
		})
	}
}

// The walreceiver may find out a moment after the question that no primary is there.
func TestDownIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := bare()
		k.cache.learn("role", Role{Name: "role"}, true, time.Now())
		time.Sleep(2 * time.Minute)
		k.silent = true
		when := time.Now().Add(time.Second)
		k.o.Down = func() bool { return time.Now().After(when) }
		go func() { k.finish(<-k.first, fmt.Errorf("connection refused")) }()
		if f := k.Find(t.Context(), "role"); !f.Known {
			t.Errorf("%+v", f)
		}
	})
}

// A crowd of invented names holds up no role: questions about roles have a queue of their own, asked first.
func TestRolesComeBeforeStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := bare()
		k.cache.learn("role", Role{Name: "role"}, true, time.Now())
		time.Sleep(2 * time.Minute)
		k.queue <- &flight{name: "invented"} // it is full now
		go func() {
			q := <-k.first
			k.mu.Lock()
			k.cache.learn(q.name, Role{Name: q.name}, true, time.Now())
			k.mu.Unlock()
			k.finish(q, nil)
		}()
		if f := k.Find(t.Context(), "role"); !f.Known || !f.Certain || !f.Asked {
			t.Errorf("the role: %+v", f)
		}
		if f := k.Find(t.Context(), "another invented"); f.Known || f.Certain {
			t.Errorf("a stranger: %+v", f)
		}
	})
}

// TestRung: a time becomes one of few, never a shorter one and never more than maxHold.
func TestRung(t *testing.T) {
	rungs := map[time.Duration]bool{}
	for hold := minHold; hold <= 2*maxHold; hold += 100 * time.Microsecond {
		got := rung(hold)
		if got < min(hold, maxHold) || got > maxHold || got > hold+hold/holdRung+1 {
			t.Errorf("%v: %v", hold, got)
		}
		rungs[got] = true
	}
	if rung(minHold) != minHold || len(rungs) > 20 {
		t.Errorf("%v first, %d rungs", rung(minHold), len(rungs))
	}
}
