package sim

import (
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// standbysPatience bounds how long a proxy waits for standbys before it follows a primary that may lack WAL which was
// reported.
const standbysPatience = 2000

// asking holds the positions of standbys that have come to a proxy while it owes WAL. It is in memory only.
type asking struct {
	since int64           // when a primary was met that went down; 0: none was
	heard map[int]lsn.LSN // what standbys had when they came, by number
}

// restarted returns the first position at or beyond p's own WAL at which s began a life. What it had reported beyond
// that it may have lost together with p. false: it has lived all the time, or p owes nothing there.
func (p *proxy) restarted(s *server) (at lsn.LSN, is bool) {
	if p.w.fault == OwingBelieves || p.owed <= p.flushed || p.number() != s.number() {
		return 0, false
	}
	for i, r := range s.restarts {
		if p.of == s.id && i < p.seen {
			continue // its record is in the store
		}
		if p.w.holds(s.end(), r) && p.w.number(r.tli) == s.number() && r.at >= p.flushed && (!is || r.at < at) {
			at, is = r.at, true
		}
	}
	return at, is && at < p.owed
}

// lostWithUs reports whether the primary s has lost WAL together with p: a standby has shown more than s had when its
// life began, or a member refuses s.
func (p *proxy) lostWithUs(s *server) bool {
	at, is := p.restarted(s)
	if !is {
		return false
	}
	explained := false // a member has what a standby has shown: it may have given that to it
	for _, q := range p.w.proxies {
		a, heard := p.others[q.name]
		if heard && a.refused.server == s.id && a.refused.number == s.number() {
			return true
		}
		explained = explained || heard && a.number == s.number() && a.received >= p.shown
	}
	return p.shown > at && !explained
}

// asksFirst reports whether p waits for standbys before it follows s.
func (p *proxy) asksFirst(s *server) bool {
	at, is := p.restarted(s)
	if !is {
		return false
	}
	if p.asking.since == 0 {
		p.asking.since = p.w.now
		p.w.stats.Asking++
		p.w.log("%s asks standbys first whether %s has lost WAL beyond %v", p.name, s.name, at)
	}
	return !p.proves(at) && !p.waited(s, at)
}

// proves reports whether nothing beyond at was reported: voters that have not come can't have covered it.
func (p *proxy) proves(at lsn.LSN) bool {
	var unknown []quorum.Voter
	for _, s := range p.w.servers {
		if has, heard := p.asking.heard[s.id]; !heard || has > at {
			unknown = append(unknown, quorum.Voter{Name: s.name, ID: uint64(s.id)})
		}
	}
	for _, q := range p.w.proxies {
		if q != p {
			unknown = append(unknown, quorum.Voter{Name: q.name, ID: uint64(q.id), Store: true})
		}
	}
	text := p.rule.RuleText
	if !p.rule.Established {
		text = p.rule.Before
	}
	return !p.w.parsed(text).Satisfiable(unknown)
}

// waited reports whether p has waited long enough. In these worlds nobody who has WAL that s lost stays away longer.
func (p *proxy) waited(s *server, at lsn.LSN) bool {
	has := func(x place) bool {
		return p.w.number(x.tli) == s.number() && x.at > at && p.w.common(x, s.tli).at < x.at
	}
	for _, o := range p.w.servers {
		if o != s && has(o.where()) {
			return false
		}
	}
	for _, q := range p.w.proxies {
		if own := q.own(); q != p && has(place{own.tli, own.received}) {
			return false
		}
	}
	return p.w.now-p.asking.since > standbysPatience
}

// hearFirst notes how much WAL a standby has as it comes to p. It matters while p owes WAL.
func (p *proxy) hearFirst(s *server) {
	if p.owed <= p.flushed || p.w.number(s.tli) != p.number() {
		return
	}
	if p.asking.heard == nil {
		p.asking.heard = map[int]lsn.LSN{}
	}
	p.asking.heard[s.id] = max(p.asking.heard[s.id], s.written)
}
