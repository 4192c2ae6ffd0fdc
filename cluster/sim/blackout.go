package sim

// darken makes w a world in which nothing happens but a blackout, see blackout.
func (w *world) darken() {
	w.dark = true
	w.after(w.between(2000, 4000), w.blackout)
}

// alone reports whether p, which may not report then, has heard no other proxy since its start. Those that an operator
// has forgotten don't count.
func (p *proxy) alone() bool {
	return p.w.fault != FollowsAlone && len(p.others) == 0 && len(p.members()) > 0
}

// blackout is an accident: one proxy and one standby die, a little later the primary and all other proxies. That
// standby is promoted by mistake, without commits that were acknowledged meanwhile. The first proxy does not know of
// them either, and is back long before the others.
func (w *world) blackout() {
	var wrong *server
	for _, i := range w.rng.Perm(len(w.servers)) {
		if s := w.servers[i]; !s.primary && s.up {
			wrong = s
		}
	}
	if wrong == nil || len(w.proxies) == 1 {
		return
	}
	first := w.proxies[w.rng.IntN(len(w.proxies))]
	first.crash(false)
	wrong.stop()
	wrong.stopped = true
	w.after(w.between(500, 1500), func() { w.endOfAll(first, wrong) })
}

func (w *world) endOfAll(first *proxy, wrong *server) {
	for _, s := range w.servers {
		if s.primary && s.up {
			s.crash()
		}
	}
	for _, p := range w.proxies {
		if p != first {
			p.crash(w.chance(2))
		}
	}
	// What it lacks all others must know: who has heard one that does not know may follow.
	all := wrong.tli == w.official
	for _, p := range w.proxies {
		all = all && (p == first || p.reportedOn == wrong.number() && p.reported > wrong.flushed)
	}
	if wrong.stopped = false; all {
		wrong.tli = w.branch(wrong.tli, wrong.flushed, wrong.number()+1)
		wrong.applied, wrong.primary = wrong.flushed, true
		w.log("%s is promoted by mistake to line %d at %v", wrong.name, wrong.tli, wrong.flushed)
		w.stats.Mistakes++
	}
	wrong.up = true
	w.restart(first)
	back := int64(0)
	for _, i := range w.rng.Perm(len(w.proxies)) {
		if p := w.proxies[i]; p != first {
			back += w.between(timeout, 2*timeout)
			w.after(back, func() { w.restart(p) })
		}
	}
	if w.chance(2) {
		w.after(back+w.between(100, 2000), w.failover)
	}
}
