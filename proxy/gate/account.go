package gate

import (
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

const (
	// halving is how often half of what an address has used is forgotten, and with it, in the end, the address.
	halving = 20 * time.Second
	// forgotten is what counts as nothing, so that accounts do not stay for ever.
	forgotten = 10 * time.Millisecond
	// sitting is how long a client that gave up without a log-in may have owed answers and not count as one that
	// sits on places: a program answers within milliseconds.
	sitting = time.Second
	// satFor is how long one that sat is remembered for it: so many accounts as can sit within that time stay.
	satFor = 5 * time.Minute
	// oldestEvery is how many grants of an address that sat there are for one in the order of arrival; the others go to
	// the last that came.
	oldestEvery = 4
	// maxShare bounds how far known addresses and strangers are behind each other, and so how long one kind goes
	// first: one due time.
	maxShare = 5 * time.Second
)

// account is what one client address has of the places.
type account struct {
	waiting, held int
	used          time.Duration // how long places were held while others waited, lately
	sat           time.Time     // when its last place ended without a log-in after [sitting]; zero: it did not
	turn          uint64        // number of its last grant
	oldest        int           // grants since the last one in the order of arrival, while it sat
}

// before reports whether an address that waits goes before another one of its kind: who holds fewer places, then who
// did not sit on its last one, then who has used them for less time, then whose last grant is longer ago. So an
// address whose clients sit on their places keeps one at most while others wait that hold none.
func (a *account) before(b *account) bool {
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

// accounts are those of all addresses that wait, hold a place, or held one within a few halvings: as many as the
// gate can have let through in that time.
//
// Addresses are of two kinds: those whose clients logged in last time, and strangers. When both wait the kind goes
// first that has used the places for less time. Log-ins take milliseconds and silent strangers a due time each, so
// whoever is known passes any number of strangers, and strangers can't be starved.
type accounts struct {
	of     map[string]*account
	hold   map[string]*account // those with a place
	known  crowd.Known[string]
	share  time.Duration // what the known have used more than strangers
	now    time.Time
	halved time.Time
}

func newAccounts() accounts {
	return accounts{of: map[string]*account{}, hold: map[string]*account{}}
}

func (s *accounts) get(from string) *account {
	a := s.of[from]
	if a == nil {
		a = &account{}
		s.of[from] = a
	}
	return a
}

// before reports whether address a, which waits, goes before b.
func (s *accounts) before(a, b string) bool {
	if known := s.known.Has(a); known != s.known.Has(b) {
		return known == (s.share <= 0)
	}
	return s.get(a).before(s.get(b))
}

// held changes how many places from holds.
func (s *accounts) held(from string, by int) {
	a := s.get(from)
	if a.held += by; a.held > 0 {
		s.hold[from] = a
	} else {
		delete(s.hold, from)
	}
}

// loggedIn notes that a client of from proved itself, or that it gave its place up without, having owed answers for
// so long.
func (s *accounts) loggedIn(from string) {
	s.known.Add(from)
	if a := s.of[from]; a != nil {
		a.sat = time.Time{}
	}
}

func (s *accounts) failed(from string, owed time.Duration) {
	if owed >= sitting {
		s.known.Drop(from)
		s.get(from).sat = s.now
	}
}

// gaveUp takes one out that waits.
func (s *accounts) gaveUp(from string) {
	a := s.get(from)
	a.waiting--
	s.forget(from, a)
}

func (s *accounts) forget(from string, a *account) {
	if a.used < forgotten && a.held == 0 && a.waiting == 0 && a.sat.IsZero() {
		delete(s.of, from)
	}
}

// at lets time pass: whoever holds places uses them, which counts while somebody waits. It comes before each change
// of who holds one or waits.
func (s *accounts) at(now time.Time, contended bool) {
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

func (s *accounts) charge(passed time.Duration) {
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
