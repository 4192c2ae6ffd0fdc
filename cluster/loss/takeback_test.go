package loss

import "testing"

// TestTakenBackConcernsNobody: a proxy that gave WAL up follows a server that has it. Then it is no loss, here and at
// members that were not told themselves. Another word about it stands, and the next loss at those positions is a new one.
func TestTakenBackConcernsNobody(t *testing.T) {
	store := Store{Concerns: func(Loss) bool { return true }, Brings: func(Loss) bool { return false }, Received: to}
	tell := func(said, to Set) Set { to, _ = to.Hear("x", said.Told(kept, 0)); return to }
	give := func(s Set, id uint64) Set {
		s, _ = s.GiveUp(Loss{ID: id, System: sys, Timeline: 2, From: from, To: to}, []string{"s1"})
		return s
	}
	a := give(nil, 1)
	heard, told := tell(a, nil), tell(a, give(nil, 2))
	if _, done := a.TakeBack(sys, 2, from, to, func(Loss) bool { return true }); done {
		t.Error("another proxy may have served what was written instead, and the loss is taken back")
	}
	a, done := a.TakeBack(sys, 2, from, to, func(Loss) bool { return false })
	if _, again := a.TakeBack(sys, 2, from, to, nil); !done || again {
		t.Errorf("taken back: %t, and again: %t", done, again)
	}
	heard, told = tell(a, heard), tell(a, told)
	heard = tell(give(nil, 1), heard) // by who has not heard yet that it is taken back
	for name, c := range map[string]struct {
		s    Set
		lost bool
	}{
		"itself": {a, false}, "a member": {heard, false}, "one that comes later": {tell(a, nil), false},
		"a member that was told": {told, true}, "when that member tells": {tell(told, a), true},
		"the next loss": {give(heard, 4), true},
	} {
		j := c.s.Judge(Who{Name: "s1"}, at(from+1), store, nil)
		named, asks := len(c.s.Suspects(store)) > 0, c.s.Asks(Who{Name: "s2"}, store)
		lost := c.s.Parted(2, from, store) || j.Refused != nil
		if named != c.lost || asks != c.lost || lost != c.lost {
			t.Errorf("%s: named %t, asks %t, lost %t: %+v", name, named, asks, lost, c.s)
		}
	}
}
