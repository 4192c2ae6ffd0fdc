package ledger

import "testing"

func TestVoteIsWithdrawn(t *testing.T) {
	const mb = 1 << 20
	base := Space{Known: true, Free: 100 * mb, MinFree: 40 * mb, Voted: 8 * mb, Segment: mb}
	with := func(change func(*Space)) Space {
		s := base
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		s            Space
		begins, goes bool // withdrawn now, after it was not, and after it was
	}{
		"room":                        {base, false, false},
		"short":                       {with(func(s *Space) { s.Free = 30 * mb }), false, true},
		"out of space":                {with(func(s *Space) { s.Free = 19 * mb }), true, true},
		"full":                        {with(func(s *Space) { s.Full, s.MinFree, s.Free = true, 0, 0 }), true, true},
		"full, not known":             {with(func(s *Space) { s.Full, s.Known = true, false }), true, true},
		"not known":                   {with(func(s *Space) { s.Free, s.Known = 0, false }), false, false},
		"full of something else":      {with(func(s *Space) { s.Full, s.Free, s.Voted = true, 0, mb }), false, false},
		"out of space, does not vote": {with(func(s *Space) { s.Free, s.Voted, s.Segment = 0, 0, 0 }), false, false},
	} {
		if got := c.s.Withdraws(false); got != c.begins {
			t.Errorf("%s: withdrawn: %t", name, got)
		}
		if got := c.s.Withdraws(true); got != c.goes {
			t.Errorf("%s: stays withdrawn: %t", name, got)
		}
	}
}

// TestVotedSpaceIsTold: what votes keep is told of once it is as much as is kept anyway, or as may still be written.
func TestVotedSpaceIsTold(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		s    Space
		keep int64
		told bool
	}{
		"nothing":                       {Space{Known: true, Segment: mb}, 0, false},
		"a segment":                     {Space{Known: true, Voted: mb, Segment: mb}, 0, false},
		"less than is kept anyway":      {Space{Known: true, Free: 100 * mb, MinFree: 10 * mb, Voted: 8 * mb, Segment: mb}, 16 * mb, false},
		"as much as that":               {Space{Known: true, Free: 100 * mb, MinFree: 10 * mb, Voted: 16 * mb, Segment: mb}, 16 * mb, true},
		"half of what may be written":   {Space{Known: true, Free: 18 * mb, MinFree: 10 * mb, Voted: 8 * mb, Segment: mb}, 16 * mb, true},
		"the volume cannot be asked":    {Space{Voted: 8 * mb, Segment: mb}, 16 * mb, false},
		"no segment, as before a store": {Space{Known: true, Voted: 0, Segment: 0}, 0, false},
	} {
		if got := c.s.Crowded(c.keep); got != c.told {
			t.Errorf("%s: told %t", name, got)
		}
	}
}
