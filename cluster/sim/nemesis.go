package sim

import "slices"

// nemesis breaks something, or mends it.
func (w *world) nemesis() {
	if w.calm || w.dark {
		return
	}
	w.after(w.between(50, 900), w.nemesis)
	p := w.proxies[w.rng.IntN(len(w.proxies))]
	s := w.servers[w.rng.IntN(len(w.servers))]
	switch w.rng.IntN(19) {
	case 17:
		w.revert()
	case 18:
		if p.up {
			p.crash(w.chance(2))
			w.after(w.between(50, 4000), func() { w.restart(p) })
		}
		w.unmount(p)
	case 15, 16:
		w.split()
	case 14:
		w.stale()
	case 12:
		w.revert()
	case 13: // not while others might be alone to know what it had
		if !p.up && w.mayWipe(p) {
			p.wipe()
		}
	case 0:
		if p.up {
			p.crash(w.chance(2))
			w.after(w.between(50, 4000), func() { w.restart(p) })
		}
	case 1, 2:
		if s.up && !w.op.busy {
			s.crash()
			w.after(w.between(50, 4000), func() { s.up = s.up || !s.stopped })
		}
	case 3, 4: // one direction, or one machine in one direction or both
		a, b := w.rng.IntN(len(w.blocked)), w.rng.IntN(len(w.blocked))
		w.blocked[a][b] = a != b
		if w.chance(2) {
			both := w.chance(2)
			for i := range w.blocked {
				w.blocked[a][i] = i != a
				w.blocked[i][a] = w.blocked[i][a] || both && i != a
			}
		}
	case 5, 6:
		w.heal()
	case 7:
		p.skew += w.between(-3*timeout, 3*timeout)
		w.log("clock of %s jumps", p.name)
	case 8:
		if !w.op.busy {
			w.op.ruleText = w.anyRule()
		}
	case 9:
		if !p.up && !w.op.busy {
			for _, q := range w.proxies {
				if q != p && q.up {
					w.log("%s forgets %s", q.name, p.name)
					delete(q.shadow, p.name)
					q.forgot[p.name] = true
					q.must(q.led.Forget(p.name))
					q.step()
				}
			}
		}
	default:
		if w.chance(2) {
			for _, s := range w.servers {
				if s.primary && s.up && s.tli == w.official && w.chance(2) {
					s.crash()
					w.after(w.between(500, 5000), func() { s.up = s.up || !s.stopped })
				}
			}
		}
		if w.chance(6) && !w.op.busy { // the failover meets a rule that has just changed
			w.op.ruleText = w.anyRule()
			w.rollOut()
		}
		w.after(w.between(0, 400), w.failover)
	}
}

func (w *world) restart(p *proxy) {
	if !p.up {
		if w.calm {
			p.mount()
		}
		p.start()
		w.log("%s starts at %v", p.name, p.end())
	}
}

func (w *world) heal() {
	for _, row := range w.blocked {
		clear(row)
	}
}

// endTrouble ends the trouble: from here on everything must come back by itself and the operator's routine.
func (w *world) endTrouble() {
	w.calm = true
	w.heal()
	for _, p := range w.proxies {
		w.restart(p)
		p.skew = 0
	}
	for _, s := range w.servers {
		s.up = s.up || !s.stopped
	}
	w.log("calm")
	w.after(2000, w.rescue)
}

// rescue fails over once more when a promotion that was given up has left fences behind.
func (w *world) rescue() {
	if !slices.ContainsFunc(w.servers, func(s *server) bool { return s.primary && s.tli == w.official }) {
		w.failover()
		w.after(2000, w.rescue)
		return
	}
	for _, p := range w.proxies {
		if p.fenced >= w.number(w.official) {
			w.failover()
			w.after(2000, w.rescue)
			return
		}
	}
	acked := w.acked[w.official]
	w.after(duration-w.now-3500, func() { acked = w.acked[w.official] })
	w.after(duration-w.now-1, func() {
		if w.acked[w.official] <= acked {
			w.violated(ErrStuck, "no commit gets through on timeline %d under %q (zones %q), with everybody back",
				w.official, w.op.ruleText.Names, w.op.ruleText.Spread)
		}
	})
}
