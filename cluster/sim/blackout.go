package sim

import "github.com/replproxy/replproxy/grammar/lsn"

// darken sets up a seed of the kind "blackout": instead of random faults there is one accident, which begins after 2 to
// 4 seconds; see blackout.
func (w *world) darken() {
	w.dark = true
	w.after(w.between(2000, 4000), w.blackout)
}

// alone reports whether p is in a cluster and has heard no other proxy since its start. Then p may not report. Members
// that an operator has forgotten do not count.
func (p *proxy) alone() bool {
	return p.w.fault != FollowsAlone && len(p.others) == 0 && len(p.members()) > 0
}

// blackout stops one proxy and one standby, and a little later crashes the primary and all other proxies (endOfAll).
// The standby lacks commits that were acknowledged in between, and is promoted by mistake. The first proxy does not
// know of those commits either, and starts long before the others. It must not follow that standby.
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
	w.stalls()
	first := w.proxies[w.rng.IntN(len(w.proxies))]
	first.crash(false)
	wrong.stop()
	wrong.stopped = true
	w.after(w.between(500, 1500), func() { w.endOfAll(first, wrong) })
}

// endOfAll crashes all that runs, promotes wrong by mistake, and starts the proxies again one by one, first before the
// others.
func (w *world) endOfAll(first *proxy, wrong *server) {
	for _, s := range w.servers {
		if s.primary && s.up {
			s.crash()
		}
	}
	reported := map[*proxy]lsn.LSN{}
	for _, p := range w.proxies {
		if p.reportedOn == wrong.number() {
			reported[p] = p.reported
		}
		if p != first {
			p.crash(w.chance(2) || p.writes)
		}
	}
	// Each other proxy must know of WAL that wrong lacks. Else the first could rightly follow once it has heard from
	// one that knows of none.
	all := wrong.tli == w.official
	for _, p := range w.proxies {
		all = all && (p == first || reported[p] > wrong.flushed)
	}
	if wrong.stopped = false; all {
		wrong.tli = w.branch(wrong.tli, wrong.flushed, wrong.number()+1)
		wrong.applied, wrong.primary = wrong.flushed, true
		w.log("%s is promoted by mistake to branch %d at %v", wrong.name, wrong.tli, wrong.flushed)
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
