package loss

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Set are all losses that are known, the oldest first. The zero Set is empty.
type Set []Loss

// next returns the number of the next loss of a timeline.
func (s Set) next(system lsn.SystemID, t lsn.TimelineID) int {
	n := 0
	for _, l := range s {
		if l.System == system && l.Timeline == t {
			n = max(n, l.Num)
		}
	}
	return n + 1
}

// GiveUp adds a loss that this proxy accepts. known are names that are known to have WAL beyond l.From. A loss that a
// member told of, and that this proxy was not told of yet, is the same one. So is its own one until it has had WAL that
// was written instead. id is by which it is known from now on.
func (s Set) GiveUp(l Loss, known []string) (_ Set, id uint64) {
	s = slices.Clone(s)
	l.Own = true
	i := slices.IndexFunc(s, func(x Loss) bool {
		return !x.Void && !x.TakenBack && (!x.Own && x.same(l) || x.again(l))
	})
	if i < 0 {
		l.Num = s.next(l.System, l.Timeline)
		s = s.room(l.System)
		i, s = len(s), append(s, Loss{
			ID: l.ID, System: l.System, Timeline: l.Timeline, Num: l.Num, From: l.From, To: l.To,
		})
	}
	s[i] = s[i].join(l)
	s[i].Pending = true
	for _, name := range known {
		s[i].Beyond = add(s[i].Beyond, vote.Fold(name))
	}
	return s, s[i].ID
}

// TakeBack takes the newest loss of a timeline back that this proxy was told of and that overlaps WAL from from to to.
// false: none is. others reports whether another proxy may have served standbys what was written instead: then it
// stays.
func (s Set) TakeBack(system lsn.SystemID, t lsn.TimelineID, from, to lsn.LSN, others func(Loss) bool) (Set, bool) {
	about := Loss{System: system, Timeline: t, From: from, To: to}
	for i := len(s) - 1; i >= 0; i-- {
		switch l := s[i]; {
		case !l.same(about) || l.TakenBack:
		case l.Void: // see KeptBy; here, or at a member
			s = slices.Clone(s)
			s[i].Own, s[i].Pending = false, false
			return s, true
		case l.Own:
			s = slices.Clone(s)
			done := !others(l) && !l.shown()
			s[i].TakenBack, s[i].Own, s[i].Pending = done, done, false // what it has is not what was written instead
			return s, done
		}
	}
	return s, false
}

// room makes room for one more loss of a system. It forgets one that is of another system, or taken back. Else it
// merges the two oldest into one from the beginning of the first to the end of the last. Who had shown something of one
// of them only is asked again.
func (s Set) room(system lsn.SystemID) Set {
	if len(s) < MaxLosses {
		return s
	}
	if i := slices.IndexFunc(s, func(l Loss) bool { return l.System != system || l.TakenBack }); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	a, b := s[0], s[1]
	one := Loss{
		ID: b.ID, System: system, Timeline: min(a.Timeline, b.Timeline), Num: max(a.Num, b.Num),
		From: min(a.From, b.From), To: max(a.To, b.To),
		Own: a.Own || b.Own, Void: a.Void && b.Void, Beyond: add(a.Beyond, b.Beyond...),
		Anew: both(a.Anew, b.Anew), Said: both(a.Said, b.Said), Passed: both(a.Passed, b.Passed),
	}
	one.Also = append(append(append(one.Also, a.Also...), b.Also...), a.ID)
	one.Also = one.Also[max(0, len(one.Also)-MaxNames):]
	return append(Set{one}, s[2:]...)
}

// both returns the names that two lists have.
func both(a, b []string) (names []string) {
	for _, name := range a {
		if has(b, name) {
			names = append(names, name)
		}
	}
	return names
}

// Hear merges a member's losses; news: it said something new.
func (s Set) Hear(member string, said Set) (_ Set, news bool) {
	s = slices.Clone(s)
	for _, o := range said[:min(len(said), MaxLosses)] {
		if o.Own, o.Pending = false, false; o.ID == 0 || o.From >= o.To {
			continue
		}
		i := slices.IndexFunc(s, func(x Loss) bool { return x.one(o) })
		if o.TakenBack {
			if i >= 0 && !s[i].Own && !s[i].TakenBack { // else it takes back what it was told itself
				s[i].TakenBack, news = true, true
			}
			continue
		}
		if i < 0 {
			s = s.room(o.System)
			i, news = len(s), true
			s = append(s, Loss{
				ID: o.ID, System: o.System, Timeline: o.Timeline, Num: o.Num, From: o.From, To: o.To,
			})
		}
		was, now := s[i], s[i]
		kept, from := o.Kept, o.From
		if !slices.Contains(s[i].Also, o.ID) && len(s[i].Also) == 0 && len(o.Also) == 0 {
			o.ID = s[i].ID
		}
		if s[i].ID != o.ID || !slices.Equal(s[i].Also, o.Also) { // a part of what is one here, or more than that
			o.Anew, o.Said, o.Passed, o.Upto = nil, nil, nil, nil
			o.From = min(o.From, was.From) // here 0 is a beginning: of all that is one, one is not known
			now.From = o.From
		}
		if s[i] = now.join(o); kept && from == s[i].From {
			s[i].Heard = add(s[i].Heard, member)
		}
		news = news || !was.equal(s[i])
	}
	return s, news
}

// Streams returns s for a proxy to whose store WAL comes in that was written instead: it is known to have it from now
// on. On a later timeline than that of a loss that is void comes what was lost, whatever another member says.
func (s Set) Streams(at Store) Set {
	for i, l := range s {
		if l.Void && l.Timeline != at.Timeline {
			continue
		}
		if (!l.Own || l.Pending) && at.concerns(l) && at.Brings(l) {
			s = slices.Clone(s)
			s[i].Own, s[i].Pending = true, false
		}
	}
	return s
}

// Begins returns s for a proxy to whose store the next WAL comes in that was written instead, and which has none of the
// lost WAL. It is to be durable before that WAL is: afterwards the store's end does not tell which of the two it has.
func (s Set) Begins(at Store) Set {
	none := at
	none.Brings = func(l Loss) bool { return at.Received <= l.From && at.Brings(l) }
	return s.Streams(none)
}

// Told returns s as members are told of it. kept are those of s that are on disk, aside is [Store.Aside].
func (s Set) Told(kept func(Loss) bool, aside uint64) Set {
	s = slices.Clone(s)
	for i, l := range s {
		s[i].Instead = l.Own && !l.TakenBack && l.ID != aside
		s[i].Own, s[i].Pending, s[i].Heard, s[i].Kept = false, false, nil, kept(l)
	}
	return s
}

// Brings reports whether a member that says s brings WAL that was written instead of l. One that does not say so may
// have the lost WAL itself.
func (s Set) Brings(l Loss) bool {
	return slices.ContainsFunc(s, func(x Loss) bool { return x.Instead && x.one(l) })
}

// MadeAnew takes the operator's word that a standby was made anew; known: there is a loss of which it was asked, or of
// which it may be.
func (s Set) MadeAnew(name string) (_ Set, known bool) {
	s, name = slices.Clone(s), vote.Fold(name)
	for i := range s {
		if len(s[i].Said) < MaxNames {
			s[i].Said, known = add(s[i].Said, name), true
		}
	}
	return s, known
}
