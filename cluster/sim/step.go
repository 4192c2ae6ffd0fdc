package sim

import (
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// step does all that follows from an event: report, tell, make durable.
func (p *proxy) step() {
	if !p.up || p.unproven || p.w.bad != nil {
		return
	}
	if p.led.State().Seq != p.said {
		p.broadcast()
	}
	p.compare()
	u := p.upstream
	reports := u != nil && u.tli == p.tli
	if !reports && !p.bounds() {
		return
	}
	lim := &p.inUse
	p.led.Evaluate(lim, p.clock(), system, p.number())
	if reports && p.led.Establish(*lim, p.number(), p.received) {
		p.rule.Established, p.rule.Before = true, vote.RuleText{}
		p.broadcast()
	}
	if !p.rule.Established {
		lim.Progress = quorum.Least(lim.Progress, p.led.Before(p.clock(), system, p.number()))
	}
	p.note(lim.Progress)
	if c := p.led.Counters(); c.Violations > 0 {
		p.w.violated(ErrInternal, "%s: %+v", p.name, c)
	}
	if !reports {
		return
	}
	safe := p.safe()
	t := lsn.Progress{
		Write: min(p.received, u.received, lim.Write), Flush: min(safe, u.received, lim.Flush),
		Apply: min(safe, u.received, lim.Apply),
	}
	if p.w.fault == NotOwnFlush {
		t.Flush = min(u.received, lim.Flush)
	}
	t = lsn.Progress{
		Write: max(t.Write, u.last.Write), Flush: max(t.Flush, u.last.Flush), Apply: max(t.Apply, u.last.Apply),
	}
	if t == u.last {
		return
	}
	p.check(u, t)
	u.last = t
	p.reported, p.reportedOn = max(p.reported, t.Flush, t.Apply), p.number()
	p.w.stats.Reports++
	u.send(0, func() { u.told(t) })
}
