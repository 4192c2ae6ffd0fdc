package gate

import (
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

const (
	// halving is the interval at which the use of an address is halved; in the end the address is forgotten.
	halving = 20 * time.Second
	// forgotten is the use that counts as nothing, so that addresses do not stay for ever.
	forgotten = 10 * time.Millisecond
	// sitting is the time for which a client that gave up without a log-in may have owed answers before it counts as
	// one that sits on places. A program answers within milliseconds.
	sitting = time.Second
	// satFor is the time for which an address that sat is remembered. It bounds how many such addresses stay.
	satFor = 5 * time.Minute
	// oldestEvery is the number of grants to an address that sat of which one goes by the order of arrival; the others
	// go to the last that came.
	oldestEvery = 4
	// maxShare bounds how far known addresses and strangers are behind each other, and so how long one kind goes
	// first: one due time.
	maxShare = 5 * time.Second
)

// usage counts one client address's use of the places.
type usage struct {
	waiting, held int
	used          time.Duration // how long places were held while others waited, lately
	sat           time.Time     // when its last place ended without a log-in after [sitting]; zero: it did not
	turn          uint64        // number of its last grant
	oldest        int           // grants since the last one in the order of arrival, while it sat
}

// before reports whether an address that waits goes before another one of its kind. First goes who holds fewer places,
// then who did not sit on its last one. After that less use goes first, and then the longer wait since the last grant.
// So an address whose clients sit on their places keeps one at most while others wait that hold none.
func (a *usage) before(b *usage) bool {
	switch {
	case a.held != b.held:
		return a.held < b.held
	case a.sat.IsZero() != b.sat.IsZero():
		return a.sat.IsZero()
	case a.used != b.used:
		return a.used < b.used
	}
	return a.turn < b.turn
}

// usages holds the usage of all addresses that wait, hold a place, or held one within a few halvings. Those are as many
// as the gate can have let through in that time. Make it with newUsages.
//
// Addresses are of two kinds: those whose clients logged in last time, and strangers. When both wait the kind goes
// first that has used the places for less time. Log-ins take milliseconds and silent strangers a due time each, so
// whoever is known passes any number of strangers, and strangers can't be starved.
type usages struct {
	of     map[string]*usage
	hold   map[string]*usage // those with a place
	known  crowd.Known[string]
	share  time.Duration // what the known have used more than strangers
	now    time.Time
	halved time.Time
}

func newUsages() usages {
	return usages{of: map[string]*usage{}, hold: map[string]*usage{}}
}

func (s *usages) get(from string) *usage {
	a := s.of[from]
	if a == nil {
		a = &usage{}
		s.of[from] = a
	}
	return a
}

// before reports whether address a, which waits, goes before b.
func (s *usages) before(a, b string) bool {
	if known := s.known.Has(a); known != s.known.Has(b) {
		return known == (s.share <= 0)
	}
	return s.get(a).before(s.get(b))
}

// held changes how many places from holds.
func (s *usages) held(from string, by int) {
	a := s.get(from)
	if a.held += by; a.held > 0 {
		s.hold[from] = a
	} else {
		delete(s.hold, from)
	}
}

// loggedIn notes that a client of from proved itself, or that it gave its place up without, having owed answers for
// so long.
func (s *usages) loggedIn(from string) {
	s.known.Add(from)
	if a := s.of[from]; a != nil {
		a.sat = time.Time{}
	}
}

func (s *usages) failed(from string, owed time.Duration) {
	if owed >= sitting {
		s.known.Drop(from)
		s.get(from).sat = s.now
	}
}

// gaveUp takes one out that waits.
func (s *usages) gaveUp(from string) {
	a := s.get(from)
	a.waiting--
	s.forget(from, a)
}

func (s *usages) forget(from string, a *usage) {
	if a.used < forgotten && a.held == 0 && a.waiting == 0 && a.sat.IsZero() {
		delete(s.of, from)
	}
}

// at lets time pass: whoever holds places uses them, which counts while somebody waits (contended). It comes before
// each change of who holds one or waits.
func (s *usages) at(now time.Time, contended bool) {
	passed := now.Sub(s.now)
	if s.now.IsZero() {
		passed, s.halved = 0, now
	}
	s.now = now
	if contended {
		s.charge(passed)
	}
	if now.Sub(s.halved) < halving {
		return
	}
	s.halved = now
	for from, a := range s.of {
		if a.used /= 2; now.Sub(a.sat) > satFor {
			a.sat = time.Time{}
		}
		s.forget(from, a)
	}
}

func (s *usages) charge(passed time.Duration) {
	for from, a := range s.hold {
		use := passed * time.Duration(a.held)
		a.used += use
		if s.known.Has(from) {
			s.share += use
		} else {
			s.share -= use
		}
	}
	s.share = max(-maxShare, min(maxShare, s.share))
}
