package daemon

import "testing"

func TestVoteIsWithdrawn(t *testing.T) {
	const mb = 1 << 20
	base := space{known: true, free: 100 * mb, minFree: 40 * mb, voted: 8 * mb, segment: mb}
	with := func(change func(*space)) space {
		s := base
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		s            space
		begins, goes bool // withdrawn now, after it was not, and after it was
	}{
		"room":                        {base, false, false},
		"short":                       {with(func(s *space) { s.free = 30 * mb }), false, true},
		"out of space":                {with(func(s *space) { s.free = 19 * mb }), true, true},
		"full":                        {with(func(s *space) { s.full, s.minFree, s.free = true, 0, 0 }), true, true},
		"full, not known":             {with(func(s *space) { s.full, s.known = true, false }), true, true},
		"not known":                   {with(func(s *space) { s.free, s.known = 0, false }), false, false},
		"full of something else":      {with(func(s *space) { s.full, s.free, s.voted = true, 0, mb }), false, false},
		"out of space, does not vote": {with(func(s *space) { s.free, s.voted, s.segment = 0, 0, 0 }), false, false},
	} {
		if got := c.s.withdraws(false); got != c.begins {
			t.Errorf("%s: withdrawn: %t", name, got)
		}
		if got := c.s.withdraws(true); got != c.goes {
			t.Errorf("%s: stays withdrawn: %t", name, got)
		}
	}
}
