package sim

import (
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// operator changes rules, and fails over by the recipe.
type operator struct {
	id     int
	demand vote.Demand   // what all proxies should have
	busy   bool          // between the first fence and the promotion nothing else is changed
	known  map[int]place // ends that are final: nobody there votes on this timeline any more
}

// rollOut writes the rule into the configuration of every proxy it may: one that missed a fence keeps its
// rule until it follows the new timeline.
func (w *world) rollOut() {
	for _, p := range w.proxies {
		current := p.tli == w.official && p.fenced < w.official
		if w.op.busy || !p.up || !current || !w.bothWays(w.op.id, p.id) || p.wanted.Same(w.op.demand) {
			continue
		}
		w.after(w.between(1, 500), func() {
			if !w.op.busy && p.up && p.tli == w.official && p.fenced < w.official {
				p.wanted = w.op.demand
				p.obey()
				p.step()
			}
		})
	}
}

// failover is the recipe: fence, stop, prove, feed, promote.
func (w *world) failover() {
	if w.op.busy {
		return
	}
	w.op.busy, w.op.known = true, map[int]place{}
	old := w.official
	w.log("failover from timeline %d begins", old)
	if w.fault == RestartsAnywhere { // more often than elsewhere a proxy stays out of reach, alone with the old primary
		for _, s := range w.servers {
			if s.primary {
				w.blocked[w.op.id][s.id], w.blocked[w.op.id][w.proxies[0].id] = true, true
			}
		}
	}
	fenced := 0
	for _, p := range w.proxies {
		w.after(w.between(5, 200), func() {
			switch {
			case !p.up || !w.bothWays(w.op.id, p.id):
			case w.fault == NoFence:
				w.op.known[p.id] = p.end()
				fenced++
			default:
				w.op.known[p.id] = p.fence(old)
				fenced++
			}
		})
	}
	w.after(400, func() {
		candidate := false
		for _, i := range w.rng.Perm(len(w.servers)) {
			s := w.servers[i]
			if !s.up || s.primary || !w.bothWays(w.op.id, s.id) {
				continue
			}
			if !candidate || !w.chance(3) {
				s.stop()
				s.stopped, candidate = true, true
				w.op.known[s.id] = s.end()
			} else if fenced == len(w.proxies) {
				w.op.known[s.id] = s.end() // it may vote on, but nobody counts it
			}
		}
	})
	w.after(w.between(500, 900), func() { w.decide(old) })
}

// decide promotes if the ends that are known prove that nothing acknowledged lies beyond them.
func (w *world) decide(old lsn.TimelineID) {
	defer func() { w.op.busy = false }()
	proven := w.proven()
	candidate, end := w.candidate(old, proven)
	if candidate == nil {
		w.stats.NotProven++
		w.log("not proven, or nobody to promote")
	} else {
		w.promote(candidate, old, end)
	}
	for _, s := range w.servers {
		if s.stopped {
			s.stopped, s.up = false, true
			if w.fault != RestartsAnywhere && candidate != nil {
				s.least = w.official
			}
		}
	}
}

// proven: under no rule that any proxy has, may take, or whose commits may still matter, can the voters
// of unknown end release a commit.
func (w *world) proven() bool {
	var unknown []quorum.Voter
	for _, s := range w.servers {
		if _, known := w.op.known[s.id]; !known && !s.primary {
			unknown = append(unknown, quorum.Voter{Name: s.name, ID: uint64(s.id)})
		}
	}
	for _, p := range w.proxies {
		if _, known := w.op.known[p.id]; !known {
			unknown = append(unknown, quorum.Voter{Name: p.name, ID: uint64(p.id), Store: true})
		}
	}
	for _, p := range w.proxies {
		demands := []vote.Demand{p.rule.Demand, p.wanted}
		if !p.rule.Settled && w.fault != IgnoresBefore {
			demands = append(demands, p.rule.Before)
		}
		for _, v := range demands {
			d, err := ledger.Parse(v)
			p.must(err)
			_, known := w.op.known[p.id]
			if d.Rule.Empty() && !known || !d.Rule.Empty() && d.Satisfiable(unknown) {
				return false
			}
		}
	}
	return true
}

// candidate picks whom to promote, and up to where it is fed: to the highest end that is known, and at least
// to the beginning of the timeline that is left. What was acknowledged before that rests on that beginning
// alone, as long as nothing was acknowledged after it. Without proof only NoFence promotes.
func (w *world) candidate(old lsn.TimelineID, proven bool) (*server, place) {
	if !proven && w.fault != NoFence {
		return nil, place{}
	}
	var best place
	if f, ok := w.forks[old]; ok && w.fault != NoBeginning {
		best = place{f.parent, f.at}
	}
	for _, id := range w.ids() {
		if end, ok := w.op.known[id]; ok {
			if on := w.common(end, old); on.at > best.at {
				best = on
			}
		}
	}
	for _, i := range w.rng.Perm(len(w.servers)) {
		s := w.servers[i]
		if !s.stopped || !w.holds(place{old, everywhere}, s.end()) {
			continue
		}
		if w.fault == NoFeed || w.holds(s.end(), best) || w.source(best) {
			if w.fault == NoFeed || w.holds(s.end(), best) {
				best = s.end()
			}
			return s, best
		}
	}
	return nil, place{}
}

func (w *world) ids() []int {
	ids := make([]int, len(w.servers)+len(w.proxies))
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// source reports whether the operator can still get at the WAL up to end.
func (w *world) source(end place) bool {
	for _, p := range w.proxies {
		if p.up && w.bothWays(w.op.id, p.id) && w.holds(p.end(), end) {
			return true
		}
	}
	return false
}

func (w *world) promote(s *server, old lsn.TimelineID, end place) {
	w.official = lsn.TimelineID(len(w.forks) + 2)
	w.forks[w.official] = fork{old, end.at}
	s.tli, s.flushed, s.written, s.applied = w.official, end.at, end.at, end.at
	s.primary, s.stopped, s.up, s.link = true, false, true, nil
	w.stats.Promotions++
	w.log("%s is promoted to timeline %d at %v", s.name, w.official, end.at)
	w.promoted()
}

// tidyUp is the operator's routine: old primaries and standbys beyond a fork are rewound, rules are
// rolled out.
func (w *world) tidyUp() {
	w.after(w.between(500, 1500), w.tidyUp)
	for _, s := range w.servers {
		onLine := w.holds(place{w.official, everywhere}, s.where())
		oldPrimary := s.primary && s.tli != w.official
		if w.op.busy || !s.up || onLine && !oldPrimary || !w.bothWays(w.op.id, s.id) || !w.calm && w.chance(2) {
			continue
		}
		s.stop()
		on := w.common(s.end(), w.official)
		w.log("%s is rewound from %v to %v", s.name, s.end(), on)
		s.tli, s.flushed, s.written, s.applied = on.tli, on.at, on.at, on.at
		s.primary, s.up, s.least = false, true, w.official
		w.stats.Rewinds++
	}
	w.rollOut()
}
