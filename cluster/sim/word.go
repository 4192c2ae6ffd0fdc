package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// waiver keeps the claims of a member when an operator gave them up: they are not held against the primary any more.
type waiver struct {
	node   string
	number lsn.TimelineID
	at     lsn.LSN
}

// word is an operator's word on a primary that lost WAL: follow it, and give up the WAL that it lacks, which is named
// (ruling R48).
type word struct {
	lack
	branch lsn.TimelineID
}

// obeyWord gives up the WAL that s lacks, if the operator's word is about that WAL, and reports whether s is followed.
func (p *proxy) obeyWord(s *server) bool {
	x := p.word
	if x == nil || x.number != s.number() {
		return false
	}
	if p.w.fault == WordForAny {
		x = &word{lack: p.refused, branch: s.tli}
	} else if p.word = nil; x.branch != s.tli || p.refused.from < x.from || p.refused.to > x.to {
		p.w.log("the word to %s is void", p.name)
		return false
	}
	p.waive(x.number)
	known := []loss.Reached{{Timeline: p.number(), LSN: p.received}}
	for _, v := range p.led.Views(p.clock(), system, p.number()) {
		r := loss.Reached{Timeline: v.Report.Timeline, LSN: max(v.Report.Write, v.Report.Flush, v.Report.Apply)}
		if v.Kind == vote.Standby {
			r.Name = v.Name
		}
		known = append(known, r)
	}
	for _, q := range p.w.proxies {
		if a, heard := p.others[q.name]; heard {
			known = append(known, loss.Reached{Timeline: a.number, LSN: max(a.received, a.reported)})
		}
	}
	for _, d := range p.downs { // as they say themselves
		if at := d.c.where(); p.w.number(at.tli) == x.number {
			known = append(known, loss.Reached{Name: d.c.label(), Timeline: x.number, LSN: at.at})
		}
	}
	names, to := loss.Beyond(known, x.number, x.from, x.to)
	l := loss.Loss{ID: p.w.rng.Uint64() | 1, System: system, Timeline: x.number, From: x.from, To: to}
	var id uint64
	p.losses, id = p.losses.GiveUp(l, names)
	p.w.log("%s gives up WAL of timeline %d from %v to %v, which %v had", p.name, x.number, x.from, to, names)
	p.reported, p.refused = min(p.reported, max(x.from, p.w.begins(x.branch))), lack{}
	p.owing = owing{}
	if own := p.w.common(p.where(), s.tli); p.tli != 0 && own.at < p.received { // until it is restarted
		p.aside, p.setAside = id, s.tli
		p.w.after(p.w.between(20, 500), func() {
			if p.up && p.aside == id {
				p.crash(false)
				p.w.restart(p)
			}
		})
	}
	for _, d := range slices.Clone(p.downs) {
		if at := d.c.where(); p.w.number(at.tli) == x.number && at.at > x.from || p.parted(d) {
			d.cut()
		}
	}
	p.tellBeyond()
	p.w.stats.GivenUp++
	return p.aside == 0
}

// waive notes the word of all members about a timeline.
func (p *proxy) waive(number lsn.TimelineID) {
	for _, q := range p.w.proxies {
		if a, heard := p.others[q.name]; heard && a.number == number {
			p.waived = append(p.waived, waiver{q.name, number, a.received}, waiver{q.name, number, a.reported})
		}
	}
}

func (p *proxy) isWaived(node string, number lsn.TimelineID, at lsn.LSN) bool {
	return slices.Contains(p.waived, waiver{node, number, at})
}

// begunAnew sets aside, as p starts, the WAL that was given up.
func (p *proxy) begunAnew() {
	if p.setAside == 0 {
		return
	}
	on := p.w.common(p.end(), p.setAside)
	p.w.log("%s sets its WAL aside from %v on", p.name, on)
	p.tli, p.received, p.flushed, p.oldest = on.tli, on.at, on.at, min(p.oldest, on.at)
	p.reported, p.owing = min(p.reported, on.at), owing{}
	p.aside, p.setAside = 0, 0
}

// accept gives the operator's word on a primary that has come back with less, to one proxy after another: it is
// followed, and what it lacks is given up. All of them have to refuse it by then, and nobody else to be a primary.
func (w *world) accept(s *server) {
	if !s.up || w.op.busy || w.mixed() || !w.revertedFrom(s) {
		return
	}
	for _, o := range w.servers { // what it gives up could make another one followed
		if o.primary && o != s && o.number() >= s.number() {
			return
		}
	}
	for _, p := range w.proxies {
		refuses := p.refused.server == s.id && p.refused.number == s.number()
		if !p.up || p.unproven || p.kept != nil || !w.bothWays(w.op.id, p.id) || p.fenced >= s.number() || !refuses {
			return
		}
	}
	for i, p := range w.proxies { // one at once, some later
		if i == 0 || w.chance(2) {
			p.word = &word{p.refused, s.tli}
		}
	}
	w.official = s.tli
	w.given = append(w.given, s.tli)
	for branch := lsn.TimelineID(1); int(branch) < len(w.forks); branch++ {
		at, ok := w.acked[branch]
		if c := w.common(place{branch, at}, w.official); ok && c.at < at {
			delete(w.acked, branch)
			w.acked[c.tli] = max(w.acked[c.tli], c.at)
		}
	}
	w.log("%s is accepted at %v: what it lacks is given up", s.name, s.end())
	w.stats.Accepted++
}

// remake makes a standby anew that has WAL which was given up, from the primary, once no proxy has it any more.
func (w *world) remake(s *server) {
	for _, p := range w.proxies {
		if !p.up || p.tli == 0 || w.apart(p.tli, w.official) != 0 || p.aside != 0 {
			return
		}
	}
	for _, from := range w.servers {
		if from.primary && from.up && from.tli == w.official && from != s {
			s.stop()
			s.tli, s.flushed, s.written, s.applied = from.tli, from.flushed, from.flushed, from.flushed
			s.bestWritten, s.bestApplied = s.end(), s.end()
			s.primary, s.up, s.least, s.refused = false, true, w.number(w.official), false
			s.loose = true // a base backup of the primary takes all that it has, covered or not
			s.unsaid = true
			w.log("%s is made anew from %s at %v", s.name, from.name, s.end())
			w.stats.MadeAnew++
			return
		}
	}
}

// vouch says to a proxy that the standbys of a name are made anew, once that is true of all. One that was rewound to
// what the new primary has as well has no lost WAL either.
func (w *world) vouch(s *server) {
	if !s.unsaid && !s.refused {
		return
	}
	for _, o := range w.servers {
		rewound := w.common(o.where(), w.official).at == o.written
		if o.name == s.name && (!o.up || w.apart(o.tli, w.official) != 0 && !rewound) {
			return
		}
	}
	p := w.proxies[w.rng.IntN(len(w.proxies))]
	if !p.up || !w.bothWays(w.op.id, p.id) {
		return
	}
	p.losses, _ = p.losses.MadeAnew(s.name)
	p.tellBeyond()
	s.unsaid, s.refused = false, false
}
