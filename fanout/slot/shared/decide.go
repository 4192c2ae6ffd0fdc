package shared

import "cmp"

// Wish names the action that a message asks for or tells of.
type Wish uint8

// A Tell says what is so; the others ask whether it may be.
const (
	Tell Wish = iota
	Attach
	Create
	Drop
)

// Next returns the state that node self writes, when nobody minds, for what it wants of a slot of which it knows s. A
// node that is alone has no name: it goes on in that of the last owner, which only a cluster that it has left knows.
func (s State) Next(w Wish, name, self string, pid int32) State {
	next := s
	next.Name, next.Generation, next.Owner, next.Stamp = name, s.Generation+1, cmp.Or(self, s.Owner), 1
	next.ActivePID = pid
	switch w {
	case Create:
		next = State{Name: name, Generation: next.Generation, Owner: self, Stamp: 1, ActivePID: pid}
	case Drop:
		next = State{Name: name, Generation: next.Generation, Owner: self, Stamp: 1, Dropped: true}
	}
	return next
}

// Why an offer is refused.
type Why uint8

// The reasons. Of several the greatest counts.
const (
	Accepted Why = iota
	Witness      // another node, which is heard here, has a living session
	Behind       // more is known here: learn, and ask again
	Exists       // a slot of the name is here
	Busy         // a session here uses the slot, or asks for it with a better right
)

// Side holds the facts that a node has about one slot when a message arrives.
type Side struct {
	Self    string
	Have    State // zero: nothing
	Pending State // what the node itself is asking the others for; zero: nothing
	Live    bool  // a session here streams from the slot
	Hears   func(node string) bool
}

// Offer judges the wish of another node.
func (s Side) Offer(w Wish, o State) Why {
	// What is asked for was made from a state of one generation less: a tombstone of that is news, too.
	known := Compare(s.Have, o) >= 0 || w != Create && s.Have.Dropped && s.Have.Generation+1 >= o.Generation
	switch {
	case s.Pending.Generation != 0 && Compare(s.Pending, o) > 0, s.Live:
		return Busy
	case w == Create && s.Have.Exists() && s.Have.Generation >= o.Generation: // or it was dropped since
		return Exists
	case known:
		return Behind
	case s.Have.Exists() && s.Have.ActivePID != 0 && s.Have.Owner != s.Self && s.Have.Owner != o.Owner &&
		s.Hears(s.Have.Owner):
		return Witness
	}
	return Accepted
}

// Met is a node's decision on a state that it is told.
type Met uint8

// The ways of Meet.
const (
	Kept    Met = iota // what it has is the same or greater
	Took               // the other is
	Yielded            // the other is, and the session here ends: another one lives
	Claimed            // the session here goes on, under a state that is greater than both
)

// Meet returns the state that node s has after it was told o, and the decision that its session follows.
func (s Side) Meet(o State) (State, Met) {
	switch {
	case Compare(o, s.Have) <= 0:
		return s.Have, Kept
	case !s.Live && o.Owner == s.Self && o.ActivePID != 0:
		o.ActivePID = 0 // a session of before a crash
		o.Stamp++
		return o, Claimed
	case !s.Live:
		return o, Took
	case o.Owner != s.Self && o.Exists() && o.ActivePID != 0:
		return o, Yielded
	}
	mine := s.Have
	mine.Generation, mine.Stamp = o.Generation, o.Stamp+1
	if o.Owner != s.Self || o.Dropped {
		mine.Generation = min(mine.Generation+1, MaxGeneration)
	}
	return mine, Claimed
}
