package sim

import (
	"slices"

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
	instead   bool // a standby that is served what was written instead of lost WAL
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
	if p.turnsAway(c) {
		return
	}
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
	d.sendWAL()
	d.status()
	p.step()
}

// fits reports whether p has WAL up to a position, as far as its timeline's number and a position say.
func (p *proxy) fits(at place) bool {
	limit, had := p.w.left(p.tli, p.w.number(at.tli))
	return had && at.at <= limit && (limit != everywhere || at.at < p.received+segment)
}

// sendWAL sends all WAL that may be sent now.
func (d *downlink) sendWAL() {
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
			d.sendWAL()
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
	received, bytes := d.sent, lsn.Print{}
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
