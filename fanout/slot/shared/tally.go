package shared

// Outcome is the result of an offer.
type Outcome uint8

// The outcomes.
const (
	Won     Outcome = iota
	Refused         // a session lives, or a slot of the name exists
	Again           // somebody knew more: what they said is to be merged first
)

// Tally counts the members' answers to one offer. Make it with this node's state of the slot.
type Tally struct {
	wish   Wish
	have   State
	worst  Why
	state  State // of who gave worst
	agreed map[string]bool
	seen   map[string]State // by whom it is said to be in use: those states
	heard  bool             // the owner is heard, but did not answer
}

// NewTally begins.
func NewTally(w Wish, have State) *Tally {
	return &Tally{wish: w, have: have, agreed: map[string]bool{}, seen: map[string]State{}}
}

// Answer takes a member's answer; said is what it has, or asks for itself.
func (t *Tally) Answer(node string, why Why, said State) {
	switch {
	case why == Accepted:
		t.agreed[node] = true
	case why == Witness:
		t.seen[said.Owner] = said
	case why > t.worst:
		t.worst, t.state = why, said
	}
}

// Silent notes a member that has not answered in time, or can't be reached; heard: it lives all the same.
func (t *Tally) Silent(node string, heard bool) {
	if node == t.have.Owner && heard {
		t.heard = true
	}
}

// Outcome returns the answer of all; with Refused the state that stands in the way. An owner that is not heard is gone
// around, one that is heard and does not answer is not, while a session of it is known. What an owner says itself is
// newer than what others have heard of it.
func (t *Tally) Outcome() (Outcome, State) {
	switch t.worst {
	case Busy, Exists:
		return Refused, t.state
	case Behind:
		return Again, t.state
	}
	for owner, said := range t.seen {
		if !t.agreed[owner] {
			return Refused, said
		}
	}
	if t.heard && t.wish != Create && t.have.Exists() && t.have.ActivePID != 0 {
		return Refused, t.have
	}
	return Won, State{}
}
