package sim

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// lack is WAL of a timeline that its primary has come back without.
type lack struct {
	server   int
	number   lsn.TimelineID
	from, to lsn.LSN // from Invalid: not known
}

// refuse notes that p refuses s because it lacks WAL, where that begins and how far it is known.
func (p *proxy) refuse(s *server, known lsn.LSN) {
	l := lack{server: s.id, number: s.number(), from: p.parts(s), to: known}
	if p.refused.server == l.server && p.refused.number == l.number { // while it is refused it writes on
		if l.to = p.refused.to; known > s.flushed {
			l.to = max(l.to, known)
		}
		if was := p.refused.from; l.from == lsn.Invalid || was != lsn.Invalid && was < l.from {
			l.from = was
		}
	}
	p.refused = l
}

// parts finds the position at which the WAL of s and of p parts. A store that ends before that, or is empty, takes what
// members have found, at worst that nobody knows.
func (p *proxy) parts(s *server) lsn.LSN {
	own := lsn.Invalid // at worst
	if p.number() == s.number() && p.tli != 0 {
		switch on := p.w.common(p.where(), s.tli); {
		case on.at == p.received:
			own = on.at // it ends before that
		case on.at >= p.oldest:
			return on.at
		}
	}
	found := lsn.Invalid
	for _, q := range p.w.proxies {
		if a, heard := p.others[q.name]; heard && a.refused.number == s.number() && a.refused.from != lsn.Invalid &&
			(found == lsn.Invalid || a.refused.from < found) {
			found = a.refused.from
		}
	}
	return cmp.Or(found, own)
}

// history returns the history of p's store, as a history file has it.
func (p *proxy) history() lsn.History {
	h := lsn.History{Timeline: p.number()}
	for _, s := range slices.Backward(p.w.history(p.tli)) {
		h.Parents = append(h.Parents, lsn.HistoryEntry{Timeline: s.number, Switch: s.at})
	}
	return h
}

// lossStore returns p's store as package loss sees it.
func (p *proxy) lossStore() loss.Store {
	return loss.Store{
		Concerns: func(l loss.Loss) bool { return p.tli != 0 && l.In(p.history()) },
		Brings: func(l loss.Loss) bool {
			return p.upstream != nil || p.link != nil && p.others[p.link.p.name].losses.Brings(l)
		},
		Received: p.received, Aside: p.aside,
	}
}

// begins makes durable, before WAL comes in from a new source, that it takes the place of what was lost. The proxy may
// be killed before it saves anything else.
func (p *proxy) begins(empty bool) {
	at := p.lossStore()
	if empty {
		at.Received = lsn.Invalid
	}
	own := func(s loss.Set) (n int) {
		for _, l := range s {
			if l.Own {
				n++
			}
		}
		return n
	}
	s := p.losses.Begins(at)
	if own(s) == own(p.losses) {
		return
	}
	if p.w.fault != BeginsUnsaved {
		p.losses = s
	}
	if !p.w.calm && p.w.beside.IntN(2) == 0 {
		p.w.after(1+p.w.beside.Int64N(tick/4), func() {
			if p.up {
				p.crash(false)
				p.w.after(p.w.beside.Int64N(3000), func() { p.w.restart(p) })
			}
		})
	}
}

// tellBeyond tells the ledger who has WAL that was given up.
func (p *proxy) tellBeyond() {
	if len(p.losses) > 0 {
		p.led.SetBeyond(p.losses.Suspects(p.lossStore()))
	}
}

// parted reports whether a session must get no more from p.
func (p *proxy) parted(d *downlink) bool {
	return len(p.losses) > 0 && p.losses.Parted(p.w.number(d.tli), d.c.where().at, p.lossStore())
}

// hearLosses merges another proxy's losses.
func (p *proxy) hearLosses(member string, said loss.Set) {
	s, news := p.losses.Hear(member, said)
	if !news || p.w.fault == LossUnheard {
		return
	}
	p.losses = s
	p.tellBeyond()
	for _, d := range slices.Clone(p.downs) {
		if p.parted(d) {
			d.cut()
		}
	}
}

// members returns the other proxies, but for those that are forgotten.
func (p *proxy) members() (names []string) {
	for _, q := range p.w.proxies {
		if q != p && !p.forgot[q.name] {
			names = append(names, q.name)
		}
	}
	return names
}

// cut ends a session at the proxy.
func (d *downlink) cut() {
	d.close(0, d.dropped)
	d.lost()
}

func (s *server) who() loss.Who { return loss.Who{Name: s.name, Host: strconv.Itoa(s.id)} }

// judges takes the first report of a standby and reports whether it may get WAL. instead is of its session.
func (p *proxy) judges(s *server, instead *bool) bool {
	if p.unproven && p.w.fault != EmptyDirServes { // it may have forgotten what was given up
		return false
	}
	at := p.lossStore()
	if len(p.losses) == 0 || p.w.fault == LossNoFirst || !p.losses.Asks(s.who(), at) {
		return true
	}
	if p.w.fault == LossServed && slices.ContainsFunc(p.losses, at.Lost) {
		return true
	}
	j := p.losses.Judge(s.who(), loss.First{Progress: s.positions(), Voter: p.led.Named(s.name)}, at, p.members())
	*instead = j.Instead
	if p.losses = j.Set; p.w.fault == LossByName && j.Refused == nil {
		p.losses, _ = p.losses.MadeAnew(s.name)
	}
	p.tellBeyond()
	if j.Refused != nil {
		p.w.log("%s refuses %s at %v, here %v", p.name, s.name, s.where(), j.Here)
		p.w.stats.Refused++
		s.refused = !j.Here
	}
	return j.Refused == nil
}

// revertedFrom reports whether s is the primary that lost WAL of the official branch.
func (w *world) revertedFrom(s *server) bool {
	f, ok := w.fork(s.tli)
	return ok && s.primary && s.tli != w.official && f.parent == w.official && f.number == w.number(w.official)
}

// apart returns the branch of a primary that was accepted, of which one of two branches is and the other one is not; 0:
// none.
func (w *world) apart(a, b lsn.TimelineID) lsn.TimelineID {
	for _, g := range w.given {
		if w.descends(a, g) != w.descends(b, g) {
			return g
		}
	}
	return 0
}

// descends reports whether a branch goes back to that of.
func (w *world) descends(branch, of lsn.TimelineID) bool {
	for branch != of {
		f, ok := w.fork(branch)
		if !ok {
			return false
		}
		branch = f.parent
	}
	return true
}

// mixes looks at a standby that p lets in with other WAL than p has. false: nobody within reach could know that.
func (w *world) mixes(p *proxy, s *server) bool {
	g := w.apart(p.tli, s.tli)
	if g == 0 || w.common(s.where(), p.tli).at < w.begins(g) { // they had parted before
		return false
	}
	if slices.ContainsFunc(p.losses, func(l loss.Loss) bool { // it had more than anybody who was known
		return l.Timeline == w.number(g) && w.descends(p.tli, g) && s.written > l.To
	}) {
		return false
	}
	w.violated(ErrMixed, "%s, which has %v, gets WAL from %s, which has %v; branch %d was accepted at %v",
		s.name, s.where(), p.name, p.where(), g, w.begins(g))
	return true
}

// spared reports whether p still has WAL that was given up elsewhere, and has not heard of that. A standby that has
// shown elsewhere that it has none of it would get it here, and nobody could know (ADR 0070).
func (w *world) spared(p *proxy) bool {
	if w.fault == LossUnheard {
		return false
	}
	for _, g := range w.given {
		if p.tli != 0 && !w.descends(p.tli, g) && p.received > w.begins(g) && w.descends(w.official, g) {
			heard := slices.ContainsFunc(p.losses, func(l loss.Loss) bool { return l.Timeline == w.number(g) })
			told := func(q *proxy) bool { return w.descends(q.tli, g) || q.aside != 0 }
			if !heard && slices.ContainsFunc(w.proxies, told) {
				return true
			}
		}
	}
	return false
}
