package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// client attaches to a proxy: a standby, or another proxy.
type client interface {
	num() int
	label() string
	alive() bool
	slot() **downlink // its one walreceiver
	where() place
	positions() lsn.Progress
	data(d *downlink, end lsn.LSN)
	turned(t lsn.TimelineID)
}

// downlink is a walsender session of a proxy (end 0) and the client's walreceiver (end 1).
type downlink struct {
	pipe
	p           *proxy
	c           client
	incarnation uint64
	over        bool

	tli       lsn.TimelineID // the walsender's
	sent      lsn.LSN
	acked     lsn.LSN // the most that the client has reported
	streaming bool
	instead   bool // a standby that is fed what was written instead of lost WAL
	heard     int64

	clientHeard int64
}

// attach logs c in at p, a little later, if nothing stands in the way.
func (w *world) attach(p *proxy, c client) {
	w.after(w.between(2, 30), func() {
		if p.up && c.alive() && *c.slot() == nil && p.id != c.num() && w.bothWays(p.id, c.num()) {
			p.accept(c)
		}
	})
}

// segment bounds the lead of a standby over the proxy: it asks for the start of a segment.
const segment = 150

// accept answers START_REPLICATION.
func (p *proxy) accept(c client) {
	at := c.where()
	if p.tli == 0 || at.tli == 0 {
		return
	}
	ahead := at.tli == p.tli && at.at > p.received && at.at < p.received+segment
	instead := false
	if s, is := c.(*server); is && (!p.fits(at) || p.w.spared(p) || !p.judges(s, &instead)) {
		return
	} else if !ahead && !p.w.holds(place{p.tli, p.received}, at) {
		if is {
			p.w.mixes(p, s)
		}
		return
	}
	d := &downlink{
		pipe: pipe{w: p.w, ids: [2]int{p.id, c.num()}}, p: p, c: c, incarnation: p.w.rng.Uint64() | 1,
		tli: p.tli, sent: min(at.at, p.received), heard: p.w.now, clientHeard: p.w.now, instead: instead,
	}
	p.w.log("%s attaches to %s at %v", c.label(), p.name, at)
	p.w.recent = append(p.w.recent, d.incarnation)
	p.w.recent = p.w.recent[max(0, len(p.w.recent)-vote.MaxDistinct):]
	*c.slot() = d
	c.turned(p.tli)
	p.downs = append(p.downs, d)
	p.must(p.led.Attach(p.clock(), d.incarnation, vote.Standby, c.label(), system))
	d.feed()
	d.status()
	p.step()
}

// fits reports whether p has WAL up to a position, as far as its timeline's number and a position say.
func (p *proxy) fits(at place) bool {
	limit, had := p.w.left(p.tli, p.w.number(at.tli))
	return had && at.at <= limit && (limit != everywhere || at.at < p.received+segment)
}

// feed sends what there is.
func (d *downlink) feed() {
	if d.tli != d.p.tli {
		return
	}
	tli, end, bounded := d.tli, d.p.received, d.bounded()
	if bounded {
		end = min(end, d.p.horizon())
	}
	if d.sent < end {
		d.sent = end
		d.send(1, func() { d.arrived(tli, end, bounded) })
	}
}

func (d *downlink) mine() bool { return *d.c.slot() == d && d.c.alive() }

func (d *downlink) arrived(tli lsn.TimelineID, end lsn.LSN, bounded bool) {
	d.clientHeard = d.w.now
	if d.mine() && d.c.where().tli == tli {
		if s, is := d.c.(*server); is && s.covered && end > s.written {
			s.loose = s.loose || !bounded
			d.w.stats.Covered++
		}
		d.c.data(d, end)
	}
}

// turn ends a timeline: the client follows to the next one, or finds that it can't.
func (d *downlink) turn(old, next lsn.TimelineID) {
	d.send(1, func() {
		if !d.mine() {
			return
		}
		if !d.w.holds(place{next, everywhere}, d.c.where()) {
			d.w.log("%s is beyond the fork to timeline %d", d.c.label(), next)
			d.leave()
			return
		}
		d.c.turned(next)
		d.send(0, func() {
			d.tli, d.streaming = next, false
			d.sent = d.w.common(place{old, d.sent}, next).at
			d.feed()
		})
	})
}

// status sends the client's report of where it is.
func (d *downlink) status() {
	p := d.c.positions()
	d.send(0, func() { d.report(p) })
}

func (d *downlink) report(r lsn.Progress) {
	if d.over {
		return
	}
	d.heard, d.acked = d.w.now, max(d.acked, r.Write, r.Flush, r.Apply)
	received, bytes := d.sent, compare.Pair{}
	if d.tli == d.p.tli {
		received = d.p.received
		bytes = d.p.named(received)
	}
	a := ledger.Ack{
		Incarnation: d.incarnation, Timeline: d.w.number(d.tli), Received: received, Sent: d.sent,
		Progress: r, Streaming: d.streaming, Bytes: bytes,
	}
	if report, send := d.p.led.Ack(d.p.clock(), a); send {
		d.p.publish(report)
		d.p.step()
	}
}

// tick runs the walsender's timer.
func (d *downlink) tick() {
	if d.w.now-d.heard > timeout {
		d.close(0, d.dropped)
		d.lost()
		return
	}
	d.streaming = d.streaming || d.tli == d.p.tli && d.sent == d.p.received
	d.send(1, func() { d.clientHeard = d.w.now })
}

// leave ends the connection at the client.
func (d *downlink) leave() {
	if *d.c.slot() == d {
		*d.c.slot() = nil
	}
	d.close(1, d.lost)
}

// lost ends the connection at the proxy.
func (d *downlink) lost() {
	if d.over {
		return
	}
	d.over, d.gone[0] = true, true
	d.p.downs = slices.DeleteFunc(d.p.downs, func(x *downlink) bool { return x == d })
	if s, is := d.c.(*server); is && d.instead {
		d.p.losses = d.p.losses.Left(s.who(), d.p.w.number(d.tli), min(d.acked, d.sent), d.p.lossStore())
	}
	d.p.led.End(d.incarnation)
	d.p.step()
}

// dropped tells the client that the proxy ended the stream.
func (d *downlink) dropped() {
	d.gone[1] = true
	if *d.c.slot() == d {
		*d.c.slot() = nil
	}
}

// uplink is a proxy's stream (end 1) from a primary (end 0).
type uplink struct {
	pipe
	p   *proxy
	s   *server
	tli lsn.TimelineID

	sent     lsn.LSN
	pos      lsn.Progress // as the primary knows it
	received lsn.LSN      // on this connection
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
		sent: p.flushed, received: p.flushed, heard: p.w.now, alive: p.w.now,
	}
	p.upstream = u
	p.begins(empty)
	s.ups = append(s.ups, u)
	p.w.log("%s streams from %s at %v", p.name, s.name, p.end())
	u.feed()
	p.step()
}

// feed sends the primary's flushed WAL as its walsender does, or a keepalive when there is none.
func (u *uplink) feed() {
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
