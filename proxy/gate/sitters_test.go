package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

const due, tick = 5 * time.Second, 20 * time.Millisecond

// model is a gate whose clients either log in within a tick, or owe an answer until they are ended and come back.
type model struct {
	*core
	began, now time.Time
	working    []*Ticket
	arrived    map[*Ticket]time.Time
	longest    time.Duration // that one who logs in had to wait
	done       int
	last       time.Duration // when the last one logged in
	sits       func(from string) bool
	sitter     func(*Ticket) bool       // instead, when not nil; then nobody comes back
	returns    func(from string) string // as whom one comes back that was ended
}

func newModel(places int) *model {
	began := time.Unix(1000, 0)
	return &model{core: newCore(places), began: began, now: began, arrived: map[*Ticket]time.Time{},
		sits: func(from string) bool { return from[0] == 's' }, returns: func(from string) string { return from }}
}

func (m *model) arrive(from string, n int) {
	m.at(m.now)
	for range n {
		tk := &Ticket{from: from}
		m.enqueue(tk)
		m.arrived[tk] = m.now
	}
	m.rest()
}

// run lets time pass.
func (m *model) run(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(tick)
		m.at(m.now)
		for _, tk := range m.working {
			m.prove(tk)
			m.leave(tk)
			m.done++
			m.last = m.now.Sub(m.began)
		}
		m.working = nil
		m.rest()
	}
}

func (m *model) rest() {
	for again := true; again; {
		d := m.step(m.now)
		for _, tk := range d.grant {
			if sits := m.sits(tk.from) && (m.sitter == nil || m.sitter(tk)); !sits {
				m.longest = max(m.longest, m.now.Sub(m.arrived[tk]))
				m.working = append(m.working, tk)
				continue
			}
			m.set(tk, ticketYielding)
			tk.due = m.now.Add(due)
		}
		for _, tk := range d.reclaim {
			m.set(tk, ticketReclaimed)
			m.leave(tk)
			if m.sitter == nil {
				m.enqueue(&Ticket{from: m.returns(tk.from)})
			}
		}
		again = len(d.grant)+len(d.reclaim) > 0
	}
}

// Four connections of one address owe an answer until they are ended, and come back each time. Whoever logs in
// properly from elsewhere waits for one of them at most, not for as many as go before it.
func TestGateSittersDoNotStarveOthers(t *testing.T) {
	const logIns = 30
	for _, places := range []int{1, 2, 4} {
		m := newModel(places)
		m.arrive("sitter", 4)
		m.run(time.Second) // the sitters have all places
		m.arrive("honest", logIns)
		m.run(time.Minute)
		if m.done != logIns || m.last > 2*due {
			t.Errorf("%d places: %d of %d logged in, the last one after %v", places, m.done, logIns, m.last)
		}
	}
}

// An address that logged in lately waits for two due times at most, whatever it used before. The number of silent
// addresses does not matter, nor whether they are the same ones each time.
func TestKnownPassesSitters(t *testing.T) {
	const logIns = 10
	for _, places := range []int{1, 2, 4} {
		for _, sitters := range []int{1, 2, 4, 50} {
			for _, fresh := range []bool{false, true} {
				m := newModel(places)
				born := sitters
				if fresh {
					m.returns = func(string) string { born++; return fmt.Sprint("s", born) }
				}
				m.inDebt("honest")
				for i := range sitters {
					m.arrive(fmt.Sprint("s", i), 4)
				}
				m.run(time.Second)
				for range logIns { // one after the other, as applications and standbys come
					before := m.done
					for m.arrive("honest", 1); m.done == before && m.longest < time.Hour; {
						m.run(tick)
						if m.now.Sub(m.began) > time.Hour {
							t.Fatalf("%d places, %d sitters, fresh %v: no log-in within an hour", places, sitters, fresh)
						}
					}
				}
				if m.longest > 2*due {
					t.Errorf("%d places, %d sitters, fresh %v: a log-in waited for %v", places, sitters, fresh, m.longest)
				}
			}
		}
	}
}

// A log-in of an address of which many owe answers is not behind all of them: it waits for two due times at most.
func TestCrowdOfOneAddress(t *testing.T) {
	const silent = 300
	for _, places := range []int{1, 2, 4, 32} {
		m := newModel(places)
		honest := map[*Ticket]bool{}
		m.sitter = func(tk *Ticket) bool { return !honest[tk] }
		come := func() {
			tk := &Ticket{from: "s"}
			honest[tk] = true
			m.at(m.now)
			m.enqueue(tk)
			m.arrived[tk] = m.now
			m.rest()
		}
		m.arrive("s", silent)
		m.run(2 * due) // it is known by now that they sit
		for range 3 {
			come()
			before := m.done
			m.longest = 0
			m.run(3 * due)
			if m.done == before || m.longest > 2*due+tick {
				t.Errorf("%d places: %d of those that came last logged in, after %v", places, m.done-before, m.longest)
			}
		}
	}
}

// inDebt lets an address log in and hold all places that it may have for a minute, most of it while nobody waits.
// Sessions whose connection to the primary idles do so.
func (m *model) inDebt(from string) {
	m.arrive(from, m.limit-m.limit/4)
	held := m.working
	m.working = nil
	for _, tk := range held {
		m.prove(tk)
	}
	m.run(time.Minute)
	m.at(m.now)
	for _, tk := range held {
		m.leave(tk)
	}
	m.rest()
}

// Strangers come in beside an address that is known and asks without pause: they have half of the time.
func TestStrangersAreNotStarved(t *testing.T) {
	for _, places := range []int{1, 4} {
		m := newModel(places)
		m.arrive("known", 1)
		m.run(tick)
		m.arrive("known", 1100*places)
		m.run(10 * time.Second)
		m.arrive("newcomer", 1)
		m.run(2 * due)
		if m.usage.of["newcomer"] != nil && m.usage.of["newcomer"].waiting > 0 {
			t.Errorf("%d places: a newcomer still waits after %v", places, 2*due)
		}
	}
}

// What is remembered of addresses is bounded.
func TestUsageIsBounded(t *testing.T) {
	m := newModel(4)
	for i := range 3 * crowd.KnownHalf {
		m.arrive(fmt.Sprint("h", i), 1)
		if i%4 == 3 {
			m.run(tick)
		}
	}
	m.run(tick)
	if n := m.usage.known.Len(); n > 2*crowd.KnownHalf || !m.usage.known.Has(fmt.Sprint("h", 3*crowd.KnownHalf-1)) {
		t.Errorf("%d are known", n)
	}
	m.sits = func(string) bool { return true }
	m.arrive("h6000", 1)
	m.run(due)
	m.arrive("other", 4)
	m.arrive("another", 4)
	m.run(tick)
	if m.usage.known.Has("h6000") {
		t.Error("one who was ended for its silence is known")
	}
	m.sits = func(string) bool { return false }
	for range 5 {
		m.run(satFor)
	}
	if len(m.usage.of) > 6 { // those that sit still
		t.Errorf("%d usage are left: %v", len(m.usage.of), m.usage.of)
	}
}

// A database whose log-ins do not end leaves places for others, and so does an address.
func TestSlowDatabaseLeavesPlaces(t *testing.T) {
	for _, tc := range []struct{ from, to, other, otherTo string }{
		{"a", "slow", "a", "quick"}, {"a", "slow", "b", "quick"}, {"a", "slow", "b", "slow2"}, {"a", "", "b", ""},
	} {
		c := newCore(32)
		enter := func(from, to string) *Ticket {
			tk := &Ticket{from: from, to: to}
			c.enqueue(tk)
			return tk
		}
		if tc.from == tc.other { // of one address: it is the database that must not have all
			for range 200 {
				enter(tc.from, tc.to)
			}
		} else {
			for i := range 200 {
				enter(tc.from, tc.to+fmt.Sprint(i%50))
			}
		}
		now := time.Unix(1000, 0)
		for again := true; again; {
			d := c.step(now)
			for _, tk := range d.grant {
				c.answer(tk)
			}
			again = len(d.grant) > 0
		}
		if c.counted.n < 16 || c.answered.n < 32 || c.answered.n > answeredShare*c.limit {
			t.Errorf("%+v: %d and %d stuck", tc, c.counted.n, c.answered.n)
		}
		tk := enter(tc.other, tc.otherTo)
		if d := c.step(now); len(d.grant) != 1 || d.grant[0] != tk && tc.from != tc.other {
			t.Errorf("%+v: %d granted", tc, len(d.grant))
		}
	}
}
