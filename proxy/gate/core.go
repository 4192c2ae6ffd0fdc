package gate

import "time"

// ticketState is the state of a log-in at the gate.
//
//	waiting ──granted──► busy ◄──► yielding ──reclaimed──► reclaimed
//	   │                  │ ▲          │ ▲                    │
//	   │                  ▼ │          ▼ │                    │
//	   │            lent, answered ◄─► answered               │
//	   └───────cancelled──┴────────────┴──────released────────┴──► done
type ticketState uint8

const (
	ticketWaiting   ticketState = iota
	ticketBusy                  // counted; works, and cannot be taken back
	ticketYielding              // counted; can be taken back from its due time on
	ticketReclaimed             // counted; told to end, on its way out
	ticketLent                  // not counted: a base backup runs on the connection
	ticketAnswered              // counted apart: it is the primary's turn to speak
	ticketDone
)

// answeredShare bounds the log-ins in ticketAnswered, as a multiple of the limit. With the default limit they and the
// counted ones are no more than the usual max_connections of 100 (superuser_reserved_connections apart).
const answeredShare = 2

// Ticket is one log-in's place at the gate. All fields belong to the gate's mutex but granted.
type Ticket struct {
	state ticketState
	// due is the time at which it may be taken back if somebody waits; until the time at which it is taken back
	// anyway, zero for never. Both only while yielding.
	due, until time.Time
	reclaim    func()
	from       string        // the client's address: addresses take turns
	to         string        // the database, "" for none: one that is slow leaves places for others
	last       bool          // its client may have left: all others go first
	leaving    bool          // reclaimed, and its place is one of those that are waited for
	answered   bool          // busy, and is to be ticketAnswered as soon as there is room
	proved     bool          // its client logged in: what it owes now is no answer
	spoke      bool          // its client has answered a question
	apart      bool          // beside those that are counted: see core.set
	asked      time.Time     // since when it yields and is not proved
	owed       time.Duration // for how long it did so, until asked
	granted    chan struct{} // closed when busy for the first time
}

// core decides who may log in. It is pure: every method takes what it needs, nothing blocks. Make it with newCore.
type core struct {
	limit       int                  // how many at most; 0 admits none
	counted     pool                 // tickets busy, yielding or reclaimed
	leaving     int                  // of these: reclaimed
	pending     map[*Ticket]struct{} // of these: busy and answered
	answered    pool                 // tickets that wait for the primary
	lent        int                  // tickets that are lent
	apart       int                  // tickets that are apart
	spare       int                  // how many the primary could take beside the limit
	short       int                  // tickets that found the primary full, and want what another one can spare
	walreceiver bool                 // waits for a walsender, and goes first
	queue       []*Ticket
	yielding    map[*Ticket]struct{}
	turn        uint64 // number of the last grant
	usage       usages
}

// decision tells the shell what to do after a step.
type decision struct {
	grant   []*Ticket
	reclaim []*Ticket
	wake    time.Time // when to step again, zero: not before the next event
}

func newCore(limit int) *core {
	return &core{
		limit: limit, counted: newPool(), answered: newPool(),
		pending: map[*Ticket]struct{}{}, yielding: map[*Ticket]struct{}{}, usage: newUsages(),
	}
}

func (c *core) enqueue(t *Ticket) {
	c.queue = append(c.queue, t)
	c.usage.get(t.from).waiting++
}

// set moves a granted ticket to another state and keeps the count. One that can be spared, and whose client is no
// stranger, is not among the log-ins any more: it is apart from then on, if there is room.
func (c *core) set(t *Ticket, next ticketState) {
	before := counts(t.state) && !t.apart
	c.setApart(t, counts(next) && (t.apart || next == ticketYielding && c.mayBeApart(t)))
	after := counts(next) && !t.apart
	switch {
	case after && !before:
		c.counted.add(t, 1)
		c.usage.held(t.from, 1)
	case before && !after:
		c.counted.add(t, -1)
		c.usage.held(t.from, -1)
	}
	switch t.state {
	case ticketAnswered:
		c.answered.add(t, -1)
	case ticketLent:
		c.lent--
	}
	switch next {
	case ticketAnswered:
		c.answered.add(t, 1)
	case ticketLent:
		c.lent++
	}
	t.answered = false
	delete(c.pending, t)
	if !t.asked.IsZero() {
		t.owed += c.usage.now.Sub(t.asked)
		t.asked = time.Time{}
	}
	if next == ticketYielding && !t.proved {
		t.asked = c.usage.now
	}
	if t.leaving {
		c.leaving--
	}
	if t.leaving = next == ticketReclaimed && !t.apart; t.leaving {
		c.leaving++
	}
	if t.state = next; next == ticketYielding {
		c.yielding[t] = struct{}{}
	} else {
		delete(c.yielding, t)
		t.due, t.until, t.reclaim = time.Time{}, time.Time{}, nil
	}
}

// apartShare bounds the tickets apart as a multiple of the limit: with the default limit they are 16, as many as a site
// has standbys. Half of what the primary could take beside the limit is left to others.
const apartShare = 8

func (c *core) mostApart() int { return min(apartShare*c.limit, c.spare/2) }

// mayBeApart reports whether there is room apart for t. Its client has proved itself, or it has answered a question
// and its address logged in last time, so that its next answer is a round trip away. A stranger has to do both.
func (c *core) mayBeApart(t *Ticket) bool {
	return (t.proved || t.spoke && c.usage.known.Has(t.from)) && c.apart < c.mostApart()
}

func (c *core) setApart(t *Ticket, apart bool) {
	if apart == t.apart {
		return
	}
	if t.apart = apart; apart {
		c.apart++
	} else {
		c.apart--
	}
}

func counts(s ticketState) bool {
	return s == ticketBusy || s == ticketYielding || s == ticketReclaimed
}

// connected returns how many tickets may have a connection to the primary.
func (c *core) connected() int { return c.counted.n + c.answered.n + c.lent + c.apart }

// leave takes a ticket out, wherever it stands.
func (c *core) leave(t *Ticket) {
	if t.state == ticketWaiting {
		for i, q := range c.queue {
			if q == t {
				c.queue = append(c.queue[:i], c.queue[i+1:]...)
				c.usage.gaveUp(t.from)
				break
			}
		}
	}
	if t.state == ticketDone {
		return
	}
	c.set(t, ticketDone)
	if !t.proved {
		c.usage.failed(t.from, t.owed)
	}
}

// answer notes that it is the primary's turn to speak.
func (c *core) answer(t *Ticket) {
	if t.state == ticketAnswered {
		return
	}
	c.set(t, ticketBusy)
	t.answered = true
	c.pending[t] = struct{}{}
}

// prove notes that the client of a ticket has logged in.
func (c *core) prove(t *Ticket) {
	t.proved = true
	c.usage.loggedIn(t.from)
}

// at lets time pass. It comes before each change.
func (c *core) at(now time.Time) { c.usage.at(now, len(c.queue) > 0) }

// step grants to the address whose turn it is, takes back what is due while somebody waits, the
// walreceiver first, and says when it wants to be asked again.
func (c *core) step(now time.Time) decision {
	var d decision
	c.at(now)
	for t := range c.pending {
		if c.answered.fits(t, answeredShare*c.limit) {
			c.set(t, ticketAnswered)
		}
	}
	for t := range c.yielding {
		if !t.apart && c.mayBeApart(t) {
			c.set(t, ticketYielding)
		}
	}
	for !c.walreceiver && c.counted.n < c.limit {
		t := c.pick()
		if t == nil {
			break
		}
		c.set(t, ticketBusy)
		d.grant = append(d.grant, t)
	}
	// The walreceiver may take what it gets; others need as many places as there are others.
	need := len(c.queue) + c.short - c.leaving
	if c.walreceiver {
		need = len(c.yielding)
	}
	for _, t := range c.byDue() {
		at := t.until
		if need > 0 && (at.IsZero() || t.due.Before(at)) && c.wanted(t) {
			at = t.due
		}
		if at.IsZero() {
			continue
		}
		if !t.apart || c.walreceiver || c.short > 0 {
			need--
		}
		if !at.After(now) {
			d.reclaim = append(d.reclaim, t)
		} else if d.wake.IsZero() || at.Before(d.wake) {
			d.wake = at
		}
	}
	return d
}
