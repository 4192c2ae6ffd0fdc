package sim

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// reportAhead bounds how far reports of a proxy that does not wait for its disk go beyond what is flushed (ruling R42).
const reportAhead = 60

// owing says how far a proxy may have reported WAL that is not on its disk.
type owing struct {
	bound   lsn.LSN // on the disk: reports end there, or where WAL is flushed
	boundOn lsn.TimelineID
	owed    lsn.LSN // what the machine may have lost of it; 0: nothing
	repaid  lsn.LSN // what was owed, and is paid: it may have been reported
	shown   lsn.LSN // the most that a standby has shown meanwhile
	stalled int64   // until then the disk hangs
	// seen counts the restarts of server of that p had flushed before it reported beyond what is flushed.
	seen, of int
}

// safe returns the end of the WAL that may be reported under a rule, as far as p's store is concerned.
func (p *proxy) safe() lsn.LSN {
	if u := p.upstream; !p.writes || p.owed != 0 || !p.inUse.Ruled || u != nil && p.flushed < u.begun {
		return p.flushed
	}
	if p.boundOn != p.number() || p.bound < p.flushed+reportAhead/2 {
		p.bound, p.boundOn = p.flushed+reportAhead, p.number()
	}
	if u := p.upstream; u != nil {
		p.seen, p.of = len(u.s.restarts), u.s.id
	}
	return max(p.flushed, min(p.received, p.bound))
}

// reportsBeyond reports whether p has reported WAL that a power loss would take.
func (p *proxy) reportsBeyond() bool {
	on := p.number()
	return p.writes && p.boundOn == on && p.reportedOn == on && min(p.reported, p.bound) > p.flushed
}

// surely returns the end of the WAL of which p knows, whatever becomes of its machine, that it has it or may have
// reported it.
func (p *proxy) surely() lsn.LSN {
	if p.reportsBeyond() {
		return p.reported
	}
	return p.flushed
}

// losesPower drops the WAL that was not synced, and with it the knowledge how much of it was reported.
func (p *proxy) losesPower() {
	p.received = p.flushed
	if p.boundOn != p.number() || p.bound <= p.flushed {
		return
	}
	if p.w.fault != BoundForgotten {
		p.owed = max(p.owed, p.bound)
	}
	if p.reportedOn == p.number() {
		p.reported = min(p.reported, p.flushed)
	}
	p.w.log("%s owes up to %v", p.name, p.owed)
	p.w.stats.Owing++
}

// paid ends a debt that is flushed. For all that p knows it has reported as far.
func (p *proxy) paid() {
	if p.owed == 0 || p.flushed < p.owed {
		return
	}
	if p.w.fault != PaidIsForgotten {
		p.repaid = max(p.repaid, p.owed)
	}
	p.owed, p.shown = 0, 0
}

// hears takes the word of the primary s, which p follows: it has all that was reported of its timeline.
func (p *proxy) hears(s *server) {
	if p.number() == s.number() && p.owed > s.flushed {
		p.owed = s.flushed
	}
	p.paid()
}

// lacksOwed reports whether the history of s leaves a timeline below what p, or a member that p has heard, may have
// reported.
func (p *proxy) lacksOwed(s *server) bool {
	leaves := func(number lsn.TimelineID, owed lsn.LSN) bool {
		at, had := p.w.left(s.tli, number)
		return owed > 0 && (!had || at < owed)
	}
	if leaves(p.number(), max(p.owed, p.repaid)) {
		return true
	}
	for _, q := range p.w.proxies {
		if a, heard := p.others[q.name]; heard && p.w.fault != MembersOwed && leaves(a.number, a.owed) {
			return true
		}
	}
	for number := lsn.TimelineID(1); number < p.w.number(p.w.official); number++ {
		if leaves(number, p.past[number]) {
			return true
		}
	}
	return false
}

// remember keeps the position that a member had, or may have, reported on the timeline which it has left by its newest
// status.
func (p *proxy) remember(was, now memberStatus) {
	at := was.reported
	if p.w.fault != MembersOwed {
		at = max(at, was.owed)
	}
	if was.number != now.number && at > 0 {
		p.past[was.number] = max(p.past[was.number], at)
	}
}

// stalls has the disks of proxies that do not wait for them take longer than a blackout lasts, from the beginning of
// one on.
func (w *world) stalls() {
	for _, p := range w.proxies {
		p.writes = w.beside.IntN(2) == 0
		if p.writes {
			p.stalled = w.now + 5000
		}
	}
}

// turnsAway refuses a standby that has more than a store which owes, and notes what it has.
func (p *proxy) turnsAway(c client) bool {
	at := c.where()
	if s, is := c.(*server); is && slices.Contains(p.w.servers, s) {
		p.hearFirst(s)
	}
	if p.owed <= p.flushed || at.tli != p.tli || at.at <= p.received {
		return false
	}
	if s, is := c.(*server); is && slices.Contains(p.w.servers, s) {
		p.shown = max(p.shown, s.written) // it has applied all that it has before it comes
	}
	return true
}
