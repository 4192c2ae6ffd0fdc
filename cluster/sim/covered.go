package sim

import (
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// bounded reports whether a session gets WAL only up to what the rule covers (ADR 0078): its standby is to, and no rule
// in use counts it.
func (d *downlink) bounded() bool {
	s, is := d.c.(*server)
	return is && s.covered && !d.p.counts(s.name)
}

// counts reports whether a rule in use, as p has seen them last, counts a standby.
func (p *proxy) counts(name string) bool {
	for i := range p.inUse.Rules {
		if d := p.w.parsed(p.inUse.Rules[i].Rule.RuleText); quorum.Priority(d.Names, quorum.Voter{Name: name}) > 0 {
			return true
		}
	}
	return false
}

// bounds reports whether p has such a session.
func (p *proxy) bounds() bool {
	for _, d := range p.downs {
		if d.bounded() {
			return true
		}
	}
	return false
}

// note remembers the given positions, and sends to those who wait for them.
func (p *proxy) note(given lsn.Progress) {
	if p.w.fault == HorizonByOne {
		for _, r := range p.inUse.Rules {
			for _, v := range r.Voters {
				given.Flush = max(given.Flush, v.Positions.Flush)
			}
		}
	}
	if p.cover.Note(system, p.number(), p.inUse.Ruled, given) {
		for _, d := range p.downs {
			if d.bounded() {
				d.sendWAL()
			}
		}
	}
}

// horizon returns the end of the WAL that bounded sessions get: of a timeline that was left all, its end must come.
func (p *proxy) horizon() lsn.LSN {
	end := p.w.forks[p.w.begun(p.tli)].at
	if p.cover.Timeline == p.number() {
		end = max(end, p.cover.At)
	}
	if p.w.fault == HorizonReceived {
		end = ledger.Max
	}
	return end
}

// ahead looks, after a promotion that left the branch old, for a standby that got no more than what was covered and has
// more than the new primary. What it has of WAL that was lost otherwise is no matter of this.
func (w *world) ahead(old lsn.TimelineID) {
	for _, s := range w.servers {
		if !s.covered || s.primary {
			continue
		}
		switch {
		case w.holds(place{w.official, everywhere}, s.where()):
			s.loose = false
		case !s.loose && w.holds(place{old, everywhere}, s.where()):
			w.violated(ErrAhead, "%s, which gets what is covered, has %v, beyond the fork to timeline %d at %v",
				s.name, s.where(), w.official, w.begins(w.official))
		}
	}
}
