package sim

import (
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func (p *proxy) storeAck() {
	p.led.SetHistory(p.w.hashes(p.tli, p.received))
	a := ledger.Ack{
		Incarnation: p.store, Timeline: p.number(), Received: p.received,
		Progress:  lsn.Progress{Write: p.received, Flush: p.flushed},
		Streaming: true, Bytes: p.named(p.received),
	}
	if p.w.fault == UnsyncedStore {
		a.Flush = a.Write
	}
	r, send := p.led.Ack(p.clock(), a)
	if send {
		p.publish(r)
	}
	if p.link != nil {
		p.link.status()
	}
}

// publish sends a report to every other node.
func (p *proxy) publish(r vote.Report) {
	b, older, err := vote.AppendReport(nil, r)
	p.must(err)
	p.tell(newMessage(b, older), nil)
}

func (p *proxy) broadcast() {
	s := p.led.State()
	p.said = s.Seq
	if s.Rule.Generation > p.rule.Generation {
		p.rule.Generation = s.Rule.Generation
	}
	b, older, err := vote.AppendState(nil, s)
	p.must(err)
	a := p.memberStatus()
	p.tell(newMessage(b, older), func(q *proxy) {
		q.remember(q.others[p.name], a)
		q.others[p.name] = a
		q.hearLosses(p.name, a.losses)
		q.answered(p.knows[q.name])
	})
	p.tell(p.hashes(), nil)
	for _, r := range p.led.Reports() {
		p.publish(r)
	}
}

// tell sends a message to every other node. What with does there comes with it.
func (p *proxy) tell(m message, with func(*proxy)) {
	if p.unproven {
		return
	}
	for _, q := range p.w.proxies {
		if q != p {
			p.w.datagram(p, q, m, with)
		}
	}
}

// hear takes a message that another node has sent since it started for the boot-th time.
func (p *proxy) hear(from *proxy, boot uint64, m any) {
	if _, state := m.(vote.State); !state && boot != p.boots[from.name] {
		return // its connection is another one now, or the State that begins it has yet to come
	}
	p.notice(m)
	switch m := m.(type) {
	case vote.State:
		p.knows[from.name] = true
		p.connected(from, m.Boot)
		p.must(p.led.Merge(p.clock(), p.bend(m)))
	case vote.Hashes:
		p.led.Hashes(from.name, m.Oldest, m.Prints)
	case vote.Asks:
		p.answer(from, m)
		return
	case vote.Report:
		if !p.led.Report(p.clock(), p.twist(m)) {
			return
		}
	}
	p.step()
}
