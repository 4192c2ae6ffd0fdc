package sim

import (
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// operator changes rules, and fails over by the recipe.
type operator struct {
	id       int
	ruleText vote.RuleText // what all proxies should have
	busy     bool          // between the first fence and the promotion nothing else is changed
	known    map[int]place // ends that are final: nobody there votes beyond them on this timeline
}

// rollOut writes the rule into the configuration of every proxy it may: one that missed a fence keeps its
// rule until it follows the new timeline.
func (w *world) rollOut() {
	for _, p := range w.proxies {
		current := p.tli == w.official && p.fenced < w.number(w.official)
		has := p.wanted.Same(w.op.ruleText)
		if w.op.busy || !p.up || p.kept != nil || !current || !w.bothWays(w.op.id, p.id) || has {
			continue
		}
		w.after(w.between(1, 500), func() {
			if !w.op.busy && p.up && p.tli == w.official && p.fenced < w.number(w.official) {
				p.wanted = w.op.ruleText
				p.obey()
				p.step()
			}
		})
	}
}

// failover follows the recipe: fence, stop, prove, feed, promote.
func (w *world) failover() {
	if w.op.busy {
		return
	}
	w.op.busy, w.op.known = true, map[int]place{}
	old := w.official
	w.log("failover from timeline %d begins", old)
	if w.chance(4) && !w.calm { // a proxy stays out of reach, alone with the old primary
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
			case !p.up || p.unproven || !w.bothWays(w.op.id, p.id):
			case w.fault == NoFence:
				w.op.known[p.id] = p.end()
				fenced++
			default:
				if end := p.fence(w.number(old)); !p.owes() {
					w.op.known[p.id] = end
				}
				fenced++
				if !w.calm && w.chance(12) { // its machine is started anew amid that, without its volume
					p.crash(false)
					w.unmount(p)
					w.after(w.between(50, 1500), func() { w.restart(p) })
				}
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
	candidate, end := w.candidate(old)
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
				s.least = w.number(w.official)
			}
		}
	}
}

// question makes the question of replproxy tail from the knowledge of this operator; the candidate's end is final even
// while it runs.
func (w *world) question(old lsn.TimelineID, candidate *server) tail.Question {
	var q tail.Question
	if f, ok := w.fork(old); ok && w.fault != NoBeginning {
		q.Begin = f.at
	}
	holder := func(id int, name string, store bool) tail.Holder {
		end, known := w.op.known[id]
		return tail.Holder{
			Name: name, ID: uint64(id), Store: store, Final: known, End: w.common(end, old).at,
		}
	}
	for _, s := range w.servers {
		if h := holder(s.id, s.name, false); s == candidate {
			h.Final, h.End = true, w.common(s.end(), old).at
			q.Standbys = append(q.Standbys, h)
		} else if h.Final || !s.primary {
			q.Standbys = append(q.Standbys, h)
		}
	}
	for _, p := range w.proxies {
		x := tail.Proxy{Holder: holder(p.id, p.name, true)}
		rule := p.own().rule
		texts := []vote.RuleText{rule.RuleText, p.wanted}
		if !rule.Established && w.fault != IgnoresBefore {
			texts = append(texts, rule.Before)
		}
		for _, v := range texts {
			x.Rules = append(x.Rules, w.parsed(v))
		}
		q.Proxies = append(q.Proxies, x)
	}
	return q
}

// candidate picks the server to promote, and the position up to which it is fed. Without proof only NoFence promotes.
func (w *world) candidate(old lsn.TimelineID) (*server, place) {
	for _, i := range w.rng.Perm(len(w.servers)) {
		s := w.servers[i]
		runs := s.up && !s.primary && w.bothWays(w.op.id, s.id)
		if !s.stopped && !runs || !w.holds(place{old, everywhere}, s.end()) {
			continue
		}
		proof := w.question(old, s).Prove()
		if len(proof.Gaps) > 0 && w.fault != NoFence {
			continue
		}
		best := place{old, proof.Target}
		has := w.holds(s.end(), best)
		if has || w.fault == NoFeed {
			return s, s.end()
		}
		if w.source(s.end(), best) {
			return s, best
		}
	}
	return nil, place{}
}

// source reports whether the operator can still get at the WAL from a candidate's end up to end.
func (w *world) source(from, end place) bool {
	for _, p := range w.proxies {
		if p.up && w.bothWays(w.op.id, p.id) && p.oldest <= from.at && w.holds(p.end(), end) {
			return true
		}
	}
	return false
}

func (w *world) promote(s *server, old lsn.TimelineID, end place) {
	if s.up {
		s.stop() // its walreceiver ends, and what it had written counts
		if w.holds(s.end(), end) {
			end = s.end()
		}
	}
	w.official = w.branch(old, end.at, w.number(old)+1)
	s.tli, s.flushed, s.written, s.applied = w.official, end.at, end.at, end.at
	s.primary, s.stopped, s.up, s.link = true, false, true, nil
	w.stats.Promotions++
	w.log("%s is promoted to timeline %d at %v", s.name, w.official, end.at)
	w.promoted()
	w.ahead(old)
}

// tidyUp does the operator's routine: old primaries and standbys beyond a fork are rewound, rules are rolled out.
func (w *world) tidyUp() {
	w.after(w.between(500, 1500), w.tidyUp)
	for _, s := range w.servers {
		w.vouch(s)
		if w.revertedFrom(s) && w.chance(2) {
			w.accept(s)
		}
		onLine := w.holds(place{w.official, everywhere}, s.where())
		oldPrimary := s.primary && s.tli != w.official
		if w.op.busy || !s.up || onLine && !oldPrimary || !w.bothWays(w.op.id, s.id) || !w.calm && w.chance(2) {
			continue
		}
		if !onLine && w.apart(s.tli, w.official) != 0 {
			w.remake(s)
			continue
		}
		s.stop()
		on := w.common(s.end(), w.official)
		w.log("%s is rewound from %v to %v", s.name, s.end(), on)
		s.tli, s.flushed, s.written, s.applied = on.tli, on.at, on.at, on.at
		s.loose = s.primary // it has written its WAL itself, covered or not
		s.primary, s.up, s.least = false, true, w.number(w.official)
		w.stats.Rewinds++
	}
	for _, p := range w.proxies {
		if w.bothWays(w.op.id, p.id) && (w.calm || w.chance(3)) {
			w.mend(p)
		}
	}
	w.rollOut()
}
