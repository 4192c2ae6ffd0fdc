package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// proxy is one node: a store of two positions around a real ledger.
type proxy struct {
	w    *world
	id   int
	name string
	up   bool
	skew int64 // of its clock

	disk
	kept     *disk         // another one is mounted meanwhile, an empty one
	unproven bool          // nobody has said yet whether p's name is known
	release  int           // the highest message version that it speaks
	writes   bool          // reports do not wait for its disk (ruling R42)
	wanted   vote.RuleText // what its configuration file says
	had      place         // by the store that was wiped last, for the checks: no rule helps against that

	// In memory.
	asking   asking
	aside    uint64                     // the loss whose WAL the store has until it is restarted
	inUse    ledger.Evaluation          // of the newest evaluation
	cover    ledger.Covered             // see bounded
	others   map[string]memberStatus    // what they said last
	past     map[lsn.TimelineID]lsn.LSN // what they had, or may have, reported on timelines that they left
	boots    map[string]uint64          // of each member that was heard: with a new one its connection is another
	equal    map[string]lsn.LSN         // how far each was compared equal at the last look
	led      *ledger.Ledger
	said     uint64 // Seq of the State that was broadcast last
	store    uint64 // incarnation
	upstream *uplink
	link     *downlink // of another proxy, instead of upstream
	downs    []*downlink
	shadow   map[string]*shadow // see check.go
}

func (p *proxy) clock() time.Time { return p.w.clock(p.skew) }

func (p *proxy) furthest() place { return p.best }

func (p *proxy) end() place { return place{p.tli, p.flushed} }

// number returns the number of the timeline.
func (p *proxy) number() lsn.TimelineID { return p.w.number(p.tli) }

// start begins a process on what the disk holds.
func (p *proxy) start() {
	p.boot++
	p.begunAnew()
	p.unproven = p.kept != nil && p.w.fault != EmptyDirVotes
	if p.w.fault == LossForgotten {
		p.losses = nil
	}
	var members []string
	for _, q := range p.w.proxies {
		members = append(members, q.name)
	}
	fenced := p.fenced
	if p.w.fault == ForgottenFence {
		fenced = 0
	}
	led, err := ledger.New(ledger.Options{
		Node: p.name, Boot: p.boot, Members: members, Timeout: timeout * time.Millisecond,
		Rule: p.effective(p.rule), Fenced: fenced, Forgotten: slices.Sorted(maps.Keys(p.forgot)),
	})
	if err != nil {
		p.w.violated(ErrInternal, "start of %s: %v", p.name, err)
		return
	}
	p.up, p.led, p.said, p.upstream, p.link, p.downs = true, led, 0, nil, nil, nil
	p.past = map[lsn.TimelineID]lsn.LSN{}
	p.shadow, p.others, p.boots = map[string]*shadow{}, map[string]memberStatus{}, map[string]uint64{}
	p.equal = map[string]lsn.LSN{}
	p.aside, p.inUse, p.cover = 0, ledger.Evaluation{}, ledger.Covered{}
	p.store = p.w.rng.Uint64() | 1
	p.must(led.Attach(p.clock(), p.store, vote.Store, "", system))
	if p.w.fault == NoCompare {
		for _, q := range p.w.proxies {
			if q != p {
				p.must(p.led.Merge(p.clock(), vote.State{Node: q.name, Rule: p.rule}))
			}
		}
	}
	p.obey()
	p.tellBeyond()
	p.storeAck()
	p.step()
}

func (p *proxy) must(err error) {
	if err != nil {
		p.w.violated(ErrInternal, "%s: %v", p.name, err)
	}
}

// obey takes the rule of the configuration file into use. From is all it has: it reported no more.
func (p *proxy) obey() {
	r, err := p.led.NextRule(p.wanted, p.number(), max(p.received, p.reported, p.owed), false)
	p.must(err)
	if err == nil && !r.Same(p.rule.RuleText) {
		p.w.log("%s takes rule %q, zones %q, from %v", p.name, r.Names, r.Spread, r.From)
		p.rule = r
		p.must(p.led.SetRule(p.effective(r)))
		p.w.stats.Rules++
	}
}

// crash ends the process; power loss takes what was not synced.
func (p *proxy) crash(power bool) {
	p.w.log("%s crashes, power loss %v, received %v flushed %v", p.name, power, p.received, p.flushed)
	p.w.stats.Crashes++
	p.up = false
	p.shown, p.asking = 0, asking{} // they are in memory only
	if power {
		p.losesPower()
	}
	// The kernel of a killed process ends its connections; without power nobody does.
	if p.upstream != nil {
		p.hang(&p.upstream.pipe, 1, power, p.upstream.lost)
	}
	if p.link != nil {
		p.hang(&p.link.pipe, 1, power, p.link.lost)
	}
	for _, d := range p.downs {
		p.hang(&d.pipe, 0, power, d.dropped)
	}
	p.upstream, p.link, p.downs = nil, nil, nil
}

func (p *proxy) hang(c *pipe, end int, silently bool, fin func()) {
	if silently {
		c.gone[end] = true
	} else {
		c.close(end, fin)
	}
}

// take stores WAL up to end, from whichever upstream.
func (p *proxy) take(end lsn.LSN) {
	if end <= p.received {
		return
	}
	p.received = end
	p.best = p.where()
	for _, d := range p.downs {
		d.sendWAL()
	}
	p.storeAck()
	boot, tli := p.boot, p.tli
	p.w.after(p.w.between(1, 40)+max(0, p.stalled-p.w.now), func() {
		if p.up && p.boot == boot && p.tli == tli {
			p.flushed = max(p.flushed, end)
			p.paid()
			p.storeAck()
			p.step()
		}
	})
	p.step()
}

// follow continues on timeline t, whose branch holds at least what the caller checked.
func (p *proxy) follow(t lsn.TimelineID) {
	if t == p.tli {
		return
	}
	old := p.tli
	if p.w.fault != TrustsNumbers || p.number() != p.w.number(t) {
		p.received = p.w.common(place{old, p.received}, t).at
	}
	p.flushed = min(p.flushed, p.received)
	p.tli = t
	p.owing = owing{} // what it lacks was accepted, or nothing is lacking
	p.w.log("%s follows timeline %d at %v", p.name, t, p.received)
	p.tellBeyond()
	for _, d := range p.downs {
		d.turn(old, t)
	}
	p.storeAck()
}

// fence carries out the operator's order: durable, withdrawn, and everything received is synced.
func (p *proxy) fence(t lsn.TimelineID) place {
	p.fenced = max(p.fenced, t)
	if p.w.fault != EmptyFence {
		p.led.Fence(t)
	}
	p.flushed = p.received
	p.storeAck()
	p.step()
	p.w.log("%s is fenced up to %d, end %v", p.name, t, p.end())
	return p.end()
}

// tick looks for an upstream, ends silent sessions and says that the node lives.
func (p *proxy) tick() {
	p.w.after(p.w.between(tick/2, tick), p.tick)
	if !p.up {
		return
	}
	for _, d := range slices.Clone(p.downs) {
		d.tick()
	}
	if p.upstream != nil || p.link != nil {
		p.losses = p.losses.Streams(p.lossStore())
	}
	p.seek()
	if p.link != nil && (p.w.now-p.link.clientHeard > timeout || p.w.chance(40)) {
		p.link.leave()
	}
	if u := p.upstream; u != nil && p.w.now-u.heard > timeout {
		u.close(1, u.lost)
		p.upstream = nil
	} else if u != nil {
		u.send(0, func() { u.alive = p.w.now })
	}
	if p.w.fault == ForgetsSilent {
		for _, q := range p.w.proxies {
			if s := p.shadow[q.name]; s != nil && p.clock().Sub(s.at) > timeout*time.Millisecond {
				p.must(p.led.Forget(q.name))
			}
		}
	}
	p.broadcast()
	p.step()
	p.ask()
}

// num and the methods after it are the client's side of a downlink to another proxy.
func (p *proxy) num() int { return p.id }

func (p *proxy) label() string {
	if p.w.fault == HiddenMember {
		return "standby_" + p.name
	}
	return p.name
}

func (p *proxy) slot() **downlink { return &p.link }

func (p *proxy) alive() bool { return p.up && p.upstream == nil }

func (p *proxy) where() place { return place{p.tli, p.received} }

func (p *proxy) turned(t lsn.TimelineID) { p.follow(t); p.begins(false) }

func (p *proxy) data(_ *downlink, end lsn.LSN) { p.take(end) }

func (p *proxy) positions() lsn.Progress {
	return lsn.Progress{Write: p.received, Flush: p.flushed}
}
