package sim

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// uplink is a proxy's stream (end 1) from a primary (end 0).
type uplink struct {
	pipe
	p   *proxy
	s   *server
	tli lsn.TimelineID

	sent     lsn.LSN
	pos      lsn.Progress // as the primary knows it
	received lsn.LSN      // on this connection
	begun    lsn.LSN      // what the primary had when it began
	last     lsn.Progress // reported
	heard    int64
	alive    int64 // when the primary heard the proxy last
}

// seek finds the primary on the highest timeline, or now and then another proxy.
func (p *proxy) seek() {
	var best *server
	for _, s := range p.w.servers {
		if s.up && s.primary && p.w.bothWays(s.id, p.id) && s.number() >= p.number() && p.accepts(s) &&
			(best == nil || s.number() > best.number()) {
			best = s
		}
	}
	switch u := p.upstream; {
	case best != nil && u != nil && best.number() > p.w.number(u.tli), !p.w.calm && u != nil && p.w.chance(80):
		u.close(1, u.lost)
		p.upstream = nil
	case u == nil && p.link == nil && !p.w.calm && p.w.chance(4):
		if q := p.w.proxies[p.w.rng.IntN(len(p.w.proxies))]; q.upstream != nil && q.number() >= p.number() {
			p.w.attach(q, p)
		}
	case u == nil && p.link == nil && best != nil:
		p.w.after(p.w.between(2, 30), func() {
			free := p.up && p.upstream == nil && p.link == nil
			if free && best.up && best.primary && best.number() >= p.number() && p.w.bothWays(best.id, p.id) {
				p.connect(best)
			}
		})
	}
}

func (p *proxy) connect(s *server) {
	if !p.accepts(s) {
		return
	}
	p.refused = lack{}
	if len(p.w.given) > 0 { // the operator says here too that it was given up, whoever had reported it
		if at, had := p.w.left(s.tli, p.reportedOn); had {
			p.reported = min(p.reported, at)
		}
	} else if p.lacks(s) {
		p.w.violated(ErrLost, "%s, made by the recipe at %v, lacks WAL that was reported, by %s up to %v",
			s.name, p.w.begins(s.tli), p.name, p.reported)
		return
	}
	empty := p.tli == 0
	if empty {
		p.begin(s)
	}
	p.follow(s.tli)
	u := &uplink{
		pipe: pipe{w: p.w, ids: [2]int{s.id, p.id}}, p: p, s: s, tli: s.tli,
		sent: p.flushed, received: p.flushed, begun: s.flushed, heard: p.w.now, alive: p.w.now,
	}
	p.upstream = u
	p.begins(empty)
	s.ups = append(s.ups, u)
	p.w.log("%s streams from %s at %v", p.name, s.name, p.end())
	p.hears(s)
	u.sendWAL()
	p.step()
}

// sendWAL sends the primary's flushed WAL as its walsender does, or a keepalive when there is none.
func (u *uplink) sendWAL() {
	u.sent = u.s.flushed
	end := u.sent
	u.send(1, func() {
		u.heard = u.w.now
		if u.p.upstream == u && u.p.up {
			u.received = max(u.received, end)
			u.p.take(end)
		}
	})
}

// told takes a report that arrives at the primary.
func (u *uplink) told(t lsn.Progress) {
	u.alive = u.w.now
	if u.s.up && u.s.primary && slices.Contains(u.s.ups, u) {
		u.pos = t
		u.s.release()
	}
}

// lost ends it at either end.
func (u *uplink) lost() {
	u.gone[0], u.gone[1] = true, true
	u.s.ups = slices.DeleteFunc(u.s.ups, func(x *uplink) bool { return x == u })
	if u.p.upstream == u {
		u.p.upstream = nil
	}
}
