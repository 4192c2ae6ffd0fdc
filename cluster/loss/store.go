package loss

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Store describes a proxy's store, as far as losses of WAL go.
type Store struct {
	Concerns func(Loss) bool // WAL beyond a loss is WAL of the store's history
	// Brings reports whether WAL comes in from where it was written instead of a loss: from a server, or from a member
	// that has it, see [Set.Brings]. It is asked only where the loss concerns the store.
	Brings   func(Loss) bool
	Timeline lsn.TimelineID // of the next WAL
	Received lsn.LSN
	Aside    uint64 // ID of the loss whose WAL the store has until its next start; 0: none
}

// Instead reports whether the store has, or is about to get, the WAL that was written instead of the lost WAL. No
// standby with the lost WAL may then be served from it. A member that has not been told so goes on with the lost WAL.
func (s Store) Instead(l Loss) bool { return s.concerns(l) && (l.Own || s.Brings(l)) }

func (s Store) concerns(l Loss) bool { return !l.TakenBack && s.Concerns(l) }

// Lost reports whether the store still has what was lost: another proxy was told to give it up, this one was not, or
// has not been restarted since.
func (s Store) Lost(l Loss) bool {
	told := l.Own && l.ID != s.Aside
	return s.concerns(l) && !told && !s.Brings(l) && s.Received > l.From
}

// Asks reports whether a session of who is to say what it has before it gets WAL of the store.
func (all Set) Asks(who Who, s Store) bool {
	return slices.ContainsFunc(all, func(l Loss) bool { return s.Instead(l) && l.Asks(who) || s.Lost(l) })
}

// Parted reports whether a session that was sent WAL of t up to at must get no more. That is so when the store still
// has the lost WAL, and the session has none of it yet.
func (all Set) Parted(t lsn.TimelineID, at lsn.LSN, s Store) bool {
	return slices.ContainsFunc(all, func(l Loss) bool { return t == l.Timeline && at <= l.From && s.Lost(l) })
}

// Suspects returns the names that do not count for the store's WAL, folded and sorted.
func (all Set) Suspects(s Store) (names []string) {
	for _, l := range all {
		if s.concerns(l) {
			names = append(names, l.Suspects()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Judgement is the decision on a session, by its first report.
type Judgement struct {
	Set Set
	// Refused is the loss because of which the session must not get WAL; nil: none. With Here the store has the lost
	// WAL, else the standby may.
	Refused *Loss
	Here    bool
	// Instead reports whether the session is a server's, and is served what was written instead of all lost WAL. A
	// session that is served while the store has lost WAL itself may have taken that, whatever the store has when it
	// ends: see [Set.Left]. What a base backup has got says nothing of the standby of its name.
	Instead bool
	News    []Loss // of which a name does not count from now on
}

// Judge decides by the first report of a session, before it got any WAL of the store, whether it is served. members are
// the other proxies, see [Loss.Judge].
func (all Set) Judge(who Who, f First, s Store, members []string) (j Judgement) {
	j.Set = slices.Clone(all)
	lost := slices.ContainsFunc(all, s.Lost)
	for i, l := range all {
		if s.Lost(l) && (l.Parted(f) || l.Renewed(who, f)) {
			if j.Refused == nil {
				j.Refused, j.Here = &all[i], true
			}
			continue // what it has now says nothing of what it has when it comes back
		}
		if !s.Instead(l) {
			continue
		}
		judged, refused := l.Judge(who, f, members)
		if refused && len(judged.Suspects()) > len(l.Suspects()) {
			j.News = append(j.News, l)
		}
		if j.Set[i] = judged; refused && j.Refused == nil {
			j.Refused = &j.Set[i]
		}
	}
	j.Instead = j.Refused == nil && !lost && f.applies()
	return j
}

// Left takes note that a session of who has ended, and had reported WAL of t up to at. It was served what was written
// instead, as [Judgement] said.
func (all Set) Left(who Who, t lsn.TimelineID, at lsn.LSN, s Store) Set {
	all = slices.Clone(all)
	for i, l := range all {
		if t == l.Timeline && s.Instead(l) && !s.Lost(l) {
			all[i] = l.Left(who, at)
		}
	}
	return all
}

// Unready are members that could serve lost WAL to a standby which was made anew amid the loss.
type Unready struct {
	Unheard []string // they have not said that they have the loss on their disk
	Lost    []string // they have, and may still have the lost WAL
}

// Unready returns the members because of which nobody may say yet that a standby is made anew: whoever has that word is
// asked no more. instead reports whether a member says that it has, or gets, the WAL that was written instead.
func (all Set) Unready(s Store, members []string, instead func(member string, l Loss) bool) (u Unready) {
	for _, l := range all {
		for _, m := range members {
			switch {
			case !s.concerns(l):
			case !has(l.Heard, m):
				u.Unheard = add(u.Unheard, m)
			case !instead(m, l):
				u.Lost = add(u.Lost, m)
			}
		}
	}
	return u
}

// Reached is WAL of a timeline that a server is known to have had.
type Reached struct {
	Name     string // of a standby; "": a store
	Timeline lsn.TimelineID
	LSN      lsn.LSN
}

// Beyond returns the names of those known to have had WAL of a timeline beyond from, and the end of what anybody had,
// which is to at least.
func Beyond(known []Reached, t lsn.TimelineID, from, to lsn.LSN) (names []string, end lsn.LSN) {
	for _, k := range known {
		if k.Timeline == t && k.LSN > from {
			to = max(to, k.LSN)
			if k.Name != "" {
				names = append(names, vote.Fold(k.Name))
			}
		}
	}
	return names, to
}
