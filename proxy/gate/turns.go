package gate

import "time"

// Yield says that the holder can be spared: reclaim is called, once and in its own goroutine, after
// due if somebody waits, and at until in any case (zero: never). A ticket that is on its way out stays so.
func (g *Gate) Yield(t *Ticket, due, until time.Time, reclaim func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !holds(t) {
		return
	}
	g.core.at(time.Now())
	g.core.set(t, ticketYielding)
	t.due, t.until, t.reclaim = due, until, reclaim
	g.stepLocked()
}

// Busy takes the offer of Yield back. It reports false when the place has been reclaimed.
func (g *Gate) Busy(t *Ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !holds(t) {
		return false
	}
	g.core.at(time.Now())
	g.core.set(t, ticketBusy)
	g.stepLocked()
	return true
}

// Others reports whether somebody beside t has a connection to the primary by this gate: a place, or one that was lent.
func (g *Gate) Others(t *Ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.core.connected()
	if t.state != ticketWaiting && t.state != ticketDone {
		n--
	}
	return n > 0
}

// Short says that the holder of a place found the primary full, so that what others can spare is taken back for it,
// until enough is called, once.
func (g *Gate) Short() (enough func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.short++
	g.stepLocked()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.core.short--
		g.stepLocked()
	}
}

// holds reports whether a ticket has its connection still.
func holds(t *Ticket) bool {
	switch t.state {
	case ticketBusy, ticketYielding, ticketLent, ticketAnswered:
		return true
	}
	return false
}

// Answer notes that the holder's client has said all that it had to say, as far as can be seen, and the primary has
// not. A server that takes long over it must not keep others waiting. The place is free for others as soon as there is
// room among those that wait for the primary, which are answeredShare times as many. Yield and Busy count it again. It
// reports false when the place has been reclaimed.
func (g *Gate) Answer(t *Ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !holds(t) {
		return false
	}
	g.core.at(time.Now())
	g.core.answer(t)
	g.stepLocked()
	return true
}

// Spoke notes that the client of t's holder has answered a question. A ticket whose address is known to the gate counts
// among those of known clients from now on. It does so as far as these have places of their own (ruling R13).
func (g *Gate) Spoke(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.spoke = true
}

// Prove says that the holder's client has logged in: its address is known from now on.
func (g *Gate) Prove(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.prove(t)
}

// Know says that a client of address from has proved itself, before it asks for a place.
func (g *Gate) Know(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.usage.loggedIn(from)
}

// Lend frees the place for others while the holder keeps its connection for a base backup.
func (g *Gate) Lend(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.state == ticketBusy {
		g.core.at(time.Now())
		g.core.set(t, ticketLent)
		g.stepLocked()
	}
}

// Leave gives the place back for good.
func (g *Gate) Leave(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.at(time.Now())
	g.core.leave(t)
	g.stepLocked()
}
