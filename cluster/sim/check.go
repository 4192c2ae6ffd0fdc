package sim

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// shadow has the messages that one proxy got from another one, apart from the ledger and much simpler.
type shadow struct {
	state   vote.State
	at      time.Time
	reports map[vote.Key]vote.Report
}

// notice keeps the shadow up to date with what has arrived.
func (p *proxy) notice(m any) {
	switch m := m.(type) {
	case vote.State:
		s := p.shadow[m.Node]
		if s == nil {
			s = &shadow{reports: map[vote.Key]vote.Report{}}
			p.shadow[m.Node] = s
		}
		s.at = p.clock()
		if s.state.Node != "" && !m.Newer(s.state) {
			return
		}
		s.state = m
		delete(p.forgot, m.Node)
		for k := range s.reports {
			if !slices.ContainsFunc(m.Sessions, func(x vote.Session) bool { return x.Key == k }) {
				delete(s.reports, k)
			}
		}
	case vote.Report:
		s := p.shadow[m.Node]
		if s != nil && slices.ContainsFunc(s.state.Sessions, func(x vote.Session) bool { return x.Key == m.Key }) {
			s.at = p.clock()
			if m.Seq > s.reports[m.Key].Seq {
				s.reports[m.Key] = m
			}
		}
	}
}

// check looks at a report before it goes to the primary.
func (p *proxy) check(u *uplink, t lsn.Progress) {
	durable := p.flushed
	if p.writes && p.boundOn == p.w.number(u.tli) {
		durable = max(durable, min(p.received, p.bound))
	}
	if t.Write > min(p.received, u.received) || t.Flush > min(durable, u.received) || t.Apply > u.received {
		p.w.violated(ErrOwn, "%s reports %+v, but received %v and flushed %v", p.name, t, p.received, p.flushed)
	}
	if p.fenced >= p.w.number(u.tli) {
		p.w.violated(ErrFence, "%s is fenced up to %d and reports on %d", p.name, p.fenced, u.tli)
	}
	if len(p.shadow) == 0 && len(p.forgot) < len(p.w.proxies)-1 {
		p.w.violated(ErrCompare, "%s reports before it has compared rules with anybody", p.name)
	}
	p.covered(u, t, p.rule.RuleText)
	for _, q := range p.w.proxies {
		if s := p.shadow[q.name]; s != nil && p.clock().Sub(s.at) <= timeout*time.Millisecond {
			p.covered(u, t, s.state.Rule.RuleText)
		}
	}
	if t.Flush > u.last.Flush {
		p.checkFirst(t.Flush)
	}
}

// covered fails the world if a report rises to a position that ruleText does not cover. It judges by the WAL on the
// disks of all servers and stores, not by what anybody has said.
func (p *proxy) covered(u *uplink, t lsn.Progress, ruleText vote.RuleText) {
	d := p.w.parsed(ruleText)
	for _, c := range []struct {
		what        string
		last, next  lsn.LSN
		standby     func(*server) place
		store       func(*proxy) place
		alsoFlushed bool
	}{
		{"write", u.last.Write, t.Write, (*server).furthest, (*proxy).furthest, true},
		{"flush", u.last.Flush, t.Flush, (*server).end, (*proxy).end, false},
		{"apply", u.last.Apply, t.Apply, (*server).furthestApplied, nil, false},
	} {
		if c.next <= c.last {
			continue
		}
		want := place{u.tli, c.next}
		var holders []quorum.Voter
		for _, s := range p.w.servers {
			if s == u.s && s.primary && slices.Contains(s.ups, u) { // a dead one may be a standby by now
				continue
			}
			if p.w.holds(c.standby(s), want) || c.alsoFlushed && p.w.holds(s.end(), want) {
				holders = append(holders, quorum.Voter{Name: s.name})
			}
		}
		for _, q := range p.w.proxies {
			kept := q.own()
			if c.store != nil && (p.w.holds(c.store(q), want) || p.w.holds(q.had, want) ||
				p.w.holds(place{kept.tli, kept.flushed}, want) ||
				c.alsoFlushed && (p.w.holds(kept.best, want) || p.w.holds(q.end(), want))) {
				holders = append(holders, quorum.Voter{Name: q.name, Store: true})
			}
		}
		if !enough(d, holders) {
			p.w.violated(ErrCovered, "%s reports %s %v on timeline %d, which %q (zones %q) does not cover: held by %v",
				p.name, c.what, c.next, u.tli, ruleText.Names, ruleText.Spread, holders)
		}
	}
}

// enough counts voters and zones, by nothing but the words of the rule.
func enough(d quorum.Rule, holders []quorum.Voter) bool {
	n, zones := 0, map[string]bool{}
	for _, v := range holders {
		if quorum.Priority(d.Names, v) > 0 {
			n++
			if z, ok := d.Zones[v.Name]; ok && (syncrep.Rule{Names: d.Spread.Names}).Priority(z) > 0 {
				zones[z] = true
			}
		}
	}
	return n >= int(d.Names.Count) && (d.Spread.Empty() || len(zones) >= int(d.Spread.Count))
}

// checkFirst checks a report under FIRST: the voter of highest priority that is known to be attached anywhere counts
// (ruling R5).
func (p *proxy) checkFirst(flush lsn.LSN) {
	d := p.w.parsed(p.rule.RuleText)
	if d.Names.Method != syncrep.First {
		return
	}
	priority, name, best := 1<<30, "", lsn.LSN(0)
	suspects := p.losses.Suspects(p.lossStore()) // who have WAL that was given up: they count nowhere
	for _, q := range p.w.proxies {
		s := p.shadow[q.name]
		if s == nil {
			continue
		}
		for _, x := range s.state.Sessions {
			r := s.reports[x.Key]
			member := slices.ContainsFunc(p.w.proxies, func(m *proxy) bool { return m.name == x.Name })
			not := x.Kind == vote.Standby && (member || slices.Contains(suspects, x.Name))
			if !r.Streaming || r.Flush == 0 || r.Timeline != p.number() || not {
				continue
			}
			switch at := quorum.Priority(d.Names, quorum.Voter{Name: x.Name, Store: x.Kind == vote.Store}); {
			case at == 0 || at > priority:
			case at < priority || x.Name < name:
				priority, name, best = at, x.Name, r.Flush
			case x.Name == name:
				best = max(best, r.Flush)
			}
		}
	}
	for _, own := range p.led.State().Sessions {
		v := quorum.Voter{Name: own.Name, Store: own.Kind == vote.Store}
		if at := quorum.Priority(d.Names, v); at > 0 && at <= priority {
			return // an own session may come first
		}
	}
	if name != "" && flush > best {
		p.w.violated(ErrFirst, "%s reports flush %v under %q, but %s is known at %v",
			p.name, flush, p.rule.Names, name, best)
	}
}

// acknowledged notes each commit that a primary released.
func (w *world) acknowledged(c place) {
	w.acked[c.tli] = max(w.acked[c.tli], c.at)
	if !w.holds(place{w.official, everywhere}, c) {
		w.violated(ErrLost, "commit at %v on timeline %d is acknowledged after timeline %d was made without it",
			c.at, c.tli, w.official)
	}
}

// promoted checks every acknowledged commit against the new timeline.
func (w *world) promoted() {
	for t := lsn.TimelineID(1); int(t) < len(w.forks); t++ {
		if at, ok := w.acked[t]; ok && !w.holds(place{w.official, everywhere}, place{t, at}) {
			w.violated(ErrLost, "timeline %d lacks the acknowledged commit at %v on timeline %d", w.official, at, t)
		}
	}
}
