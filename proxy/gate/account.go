package gate

import "time"

// halving is how often half of what an address has used is forgotten, and with it, in the end, the address.
const halving = 20 * time.Second

// forgotten is what counts as nothing, so that accounts do not stay for ever.
const forgotten = 10 * time.Millisecond

// account is what one client address has of the places.
type account struct {
	waiting, held int
	used          time.Duration // how long places were held, lately
	turn          uint64        // number of its last grant
}

// before reports whether an address that waits goes before another one: who holds fewer places, then who has used
// them for less time, then whose last grant is longer ago. So an address whose clients sit on their places keeps
// one at most while others wait that hold none, and goes behind those that used less. An address that used much
// itself lately waits until what it used is halved below the sitters'.
func (a *account) before(b *account) bool {
	switch {
	case a.held != b.held:
		return a.held < b.held
	case a.used != b.used:
		return a.used < b.used
	}
	return a.turn < b.turn
}

// accounts are those of all addresses that wait, hold a place, or held one within a few halvings: as many as the
// gate can have let through in that time.
type accounts struct {
	of     map[string]*account
	hold   map[string]*account // those with a place
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

// held changes how many places from holds.
func (s *accounts) held(from string, by int) {
	a := s.get(from)
	if a.held += by; a.held > 0 {
		s.hold[from] = a
	} else {
		delete(s.hold, from)
	}
}

// gaveUp takes one out that waits.
func (s *accounts) gaveUp(from string) {
	a := s.get(from)
	if a.waiting--; a.waiting == 0 && a.held == 0 && a.used == 0 {
		delete(s.of, from)
	}
}

// at lets time pass: whoever holds places uses them. It comes before each change of who holds one.
func (s *accounts) at(now time.Time) {
	passed := now.Sub(s.now)
	if s.now.IsZero() {
		passed, s.halved = 0, now
	}
	s.now = now
	for _, a := range s.hold {
		a.used += passed * time.Duration(a.held)
	}
	if now.Sub(s.halved) < halving {
		return
	}
	s.halved = now
	for from, a := range s.of {
		if a.used /= 2; a.used < forgotten && a.held == 0 && a.waiting == 0 {
			delete(s.of, from)
		}
	}
}
