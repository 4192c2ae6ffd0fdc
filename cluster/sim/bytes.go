package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// memberStatus is the state of a proxy's WAL as it tells the others, besides its votes.
type memberStatus struct {
	number             lsn.TimelineID
	received, reported lsn.LSN // on it
	owed               lsn.LSN // it may have reported so far; 0: only what it has
	refused            lack
	losses             loss.Set
}

func (p *proxy) memberStatus() memberStatus {
	kept := func(loss.Loss) bool { return true }
	a := memberStatus{
		number: p.number(), received: p.received, owed: max(p.owed, p.repaid), refused: p.refused,
		losses: p.losses.Told(kept, p.aside),
	}
	if p.reportedOn == a.number {
		a.reported = p.reported
	}
	return a
}

// lost reports whether the primary s lacks WAL of its own timeline that somebody had, as far as p knows (ruling R32),
// and up to where that is known.
func (p *proxy) lost(s *server) (known lsn.LSN, lost bool) {
	if p.w.fault == TrustsNumbers {
		return 0, false
	}
	if p.number() == s.number() {
		known = p.received
	}
	if p.w.fault != AsksStoreOnly {
		if p.reportedOn == s.number() {
			known = max(known, p.reported)
		}
		if p.number() == s.number() {
			known = max(known, p.shown)
		}
		for _, q := range p.w.proxies { // in the order of the cast
			if a, heard := p.others[q.name]; heard && a.number == s.number() {
				for _, at := range [2]lsn.LSN{a.received, a.reported} {
					if at > known && !p.isWaived(q.name, a.number, at) {
						known = at
					}
				}
			}
		}
	}
	return known, s.flushed < known || p.lostWithUs(s) || p.refused.server == s.id && p.refused.number == s.number()
}

// lacks reports whether the history of s leaves a timeline below what was promised on it, as far as p knows (ruling
// R3).
func (p *proxy) lacks(s *server) bool {
	if p.w.fault == AsksStoreOnly {
		return false
	}
	leaves := func(number lsn.TimelineID, promised lsn.LSN) bool {
		at, had := p.w.left(s.tli, number)
		return promised > 0 && (!had || at < promised)
	}
	if leaves(p.reportedOn, p.reported) {
		return true
	}
	for _, q := range p.w.proxies {
		if a, heard := p.others[q.name]; heard && a.reported > 0 && leaves(a.number, a.reported) {
			return true
		}
	}
	return false
}

// accepts reports whether p may follow the primary s. One that the recipe has made must have everything.
func (p *proxy) accepts(s *server) bool {
	if p.tli != 0 && (!p.w.continues(p.tli, s.tli) || s.number() != p.number() && p.alone()) {
		return false
	}
	if known, lost := p.lost(s); lost || p.otherBytes(s) {
		if p.upstream != nil || p.link != nil || p.aside != 0 { // it asks nobody else, or waits for its restart
			return false
		}
		p.refuse(s, known)
		return p.obeyWord(s)
	}
	if p.asksFirst(s) {
		return false
	}
	return s.tli == p.w.official || !p.lacks(s) && !p.lacksOwed(s)
}

// otherBytes reports whether p and s have different WAL at the same positions of one timeline. The stream begins below
// the end of the store and finds that out (rulings R32, R37).
func (p *proxy) otherBytes(s *server) bool {
	if p.w.fault == TrustsNumbers || p.number() != s.number() || p.tli == 0 {
		return false
	}
	on := p.w.common(p.where(), s.tli)
	return on.at < p.received
}

// wipe empties the WAL directory of a proxy that is down; what it has promised, its rule and its fence stay.
func (p *proxy) wipe() {
	p.w.log("the WAL of %s is gone, it had %v and has reported %v", p.name, p.end(), p.reported)
	if p.tli != 0 { // else it is wiped once more
		p.had = p.end()
	}
	p.tli, p.received, p.flushed, p.oldest = 0, 0, 0, 0
	p.w.stats.Wiped++
}

// mayWipe reports whether the store of p may be lost. All that p had and voted for must be promised in its name as
// well, and that promise must tell every stale primary. Of one on the same timeline that has gone beyond that nobody
// could tell who has no WAL.
func (w *world) mayWipe(p *proxy) bool {
	all := max(p.best.at, w.acked[w.official])
	return p.reported > 0 && p.reported >= all && p.reportedOn == w.number(w.official) &&
		!slices.ContainsFunc(w.servers, func(s *server) bool {
			return s.primary && s.tli != w.official && s.number() == w.number(w.official)
		})
}

// reverted reports whether a primary is about that has lost WAL.
func (w *world) reverted() bool {
	return slices.ContainsFunc(w.servers, func(s *server) bool {
		f, branched := w.fork(s.tli)
		return s.primary && s.tli != w.official && branched && w.number(f.parent) == f.number
	})
}

// stale promotes by mistake a standby that lacks what every proxy has promised: nobody may follow it. The next one by
// the recipe gets the same number.
func (w *world) stale() {
	least := everywhere
	for _, p := range w.proxies {
		if p.reportedOn != w.number(w.official) {
			return
		}
		least = min(least, p.reported)
	}
	for _, s := range w.servers {
		if s.primary || !s.up || s.stopped || w.op.busy || s.tli != w.official || s.written >= least {
			continue
		}
		s.stop()
		s.tli = w.branch(s.tli, s.flushed, s.number()+1)
		s.applied, s.primary, s.up = s.flushed, true, true
		w.log("%s is promoted by mistake to branch %d at %v", s.name, s.tli, s.flushed)
		w.stats.Mistakes++
		return
	}
}

// owes reports whether p has less than it has reported: its end is not final.
func (p *proxy) owes() bool {
	return p.received < max(p.reported, p.owed) && p.w.fault != WipedIsFinal
}

// begin makes the first WAL of an empty store: from the start of the segment that s is writing.
func (p *proxy) begin(s *server) {
	p.tli, p.oldest = s.tli, s.flushed-min(s.flushed, p.w.offset(s.flushed))
	p.received, p.flushed = p.oldest, p.oldest
	p.w.log("%s begins anew at %v", p.name, p.end())
	p.storeAck()
}

// offset returns the distance of a position from the beginning of its segment.
func (w *world) offset(at lsn.LSN) lsn.LSN { return at % segment }

// revert takes synced WAL from a primary: its machine comes back from an older state, and it goes on with other WAL at
// the same positions, on the same timeline. Only what every proxy has durably, or has reported, is taken: what is known
// to those out of reach alone nobody can miss. Proxies that have reported more than they have durably lose power with
// it (ruling R42).
func (w *world) revert() {
	for _, s := range w.servers {
		if !s.primary || !s.up || s.tli != w.official || w.op.busy || w.reverted() {
			continue
		}
		least := s.flushed
		var with []*proxy // that lose what they have reported
		for _, p := range w.proxies {
			if !p.up || p.kept != nil || p.tli != s.tli {
				return
			}
			if p.reportsBeyond() {
				with = append(with, p)
			}
			least = min(least, p.surely())
		}
		begun := lsn.LSN(100)
		if f, ok := w.fork(s.tli); ok {
			begun = f.at
		}
		if least <= begun+20 {
			return
		}
		at := begun + 10 + lsn.LSN(w.rng.Int64N(int64(least-begun-20)))
		for _, p := range with { // often its own WAL shows nothing
			if p.flushed < least && w.beside.IntN(4) > 0 {
				at = max(at, p.flushed+lsn.LSN(w.beside.Int64N(int64(least-p.flushed))))
			}
		}
		for _, p := range with {
			p.crash(true)
			w.after(w.beside.Int64N(4000), func() { w.restart(p) })
		}
		s.crash()
		s.tli = w.branch(s.tli, at, s.number())
		s.flushed, s.written, s.applied = at, at, at
		s.restarts = append(s.restarts, s.end())
		w.log("%s is reverted to %v", s.name, s.end())
		w.stats.Reverted++
		w.after(w.between(50, 1000), func() { s.up = s.up || !s.stopped })
		return
	}
}
