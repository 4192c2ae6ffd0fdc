package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// segSize holds all WAL of a world in one segment: a hash covers it from the beginning.
const segSize = lsn.MinSegSize

// sum returns the hash of the WAL of a branch up to a position: the same for two branches that part later.
func (w *world) sum(branch lsn.TimelineID, at lsn.LSN) uint64 {
	for f, ok := w.fork(branch); ok && at <= f.at; f, ok = w.fork(branch) {
		branch = f.parent
	}
	return uint64(branch)<<32 | uint64(at)
}

// hashAt returns the hash of p's WAL of timeline number up to a position.
func (p *proxy) hashAt(number lsn.TimelineID, at lsn.LSN) (sum uint64, ok bool) {
	if number != p.number() || at > p.received {
		return 0, false
	}
	return p.w.sum(p.tli, at), true
}

// named returns the name of p's WAL up to a position; none of an empty store.
func (p *proxy) named(at lsn.LSN) (x lsn.Print) {
	sum, ok := p.hashAt(p.number(), at)
	if !ok || at == lsn.Invalid {
		return lsn.Print{}
	}
	return lsn.Print{Timeline: p.number(), LSN: at, Sum: sum}
}

// bytes returns the store as it is compared: whatever it has ends with a complete record.
func (p *proxy) bytes() compare.Local {
	return compare.Local{
		Timeline: p.number(), Oldest: p.oldest, Received: p.received, Complete: p.received, SegSize: segSize,
		HashAt: p.hashAt,
	}
}

// connected begins to compare a member anew that has started anew: until then its connection was another one.
func (p *proxy) connected(from *proxy, boot uint64) {
	if p.boots[from.name] >= boot {
		return
	}
	p.boots[from.name] = boot
	if p.w.fault != NamelessVotes {
		p.led.Speaks(from.name, min(p.release, from.release))
	}
}

// compare compares the others' WAL with p's.
func (p *proxy) compare() {
	if !p.led.Compare(p.bytes()) {
		return
	}
	for _, q := range p.w.proxies {
		if q != p && p.led.Differs(q.name) {
			p.w.stats.Differed++
		}
	}
}

// hashes makes the message with the start of the store and the hashes that were asked for. Members of message version 1
// don't get it.
func (p *proxy) hashes(answers ...lsn.Print) message {
	b, err := vote.AppendHashes(nil, vote.Hashes{Oldest: p.oldest, Prints: answers})
	p.must(err)
	return newMessage(b, 0)
}

// ask asks members whose comparison has not moved since the last time although there is more.
func (p *proxy) ask() {
	var asks vote.Asks
	more, equal := p.led.Asks(p.bytes()), map[string]lsn.LSN{}
	for _, m := range p.led.Bytes() {
		equal[m.Node] = m.Equal
		was, looked := p.equal[m.Node]
		if at, has := more[m.Node]; has && looked && was == m.Equal {
			asks = append(asks, vote.Ask{Node: m.Node, Timeline: p.number(), At: at})
		}
	}
	p.equal = equal
	if len(asks) > 0 {
		b, err := vote.AppendAsks(nil, asks)
		p.must(err)
		p.tell(newMessage(b, 0), nil)
	}
}

// answer tells a member the hash that it asks for, if it is here.
func (p *proxy) answer(to *proxy, asks vote.Asks) {
	for _, a := range asks {
		if x := p.named(a.At); a.Node == p.name && x.Timeline == a.Timeline && x.LSN != lsn.Invalid {
			p.w.datagram(p, to, p.hashes(x), nil)
		}
	}
}

// split takes WAL from the primary that nobody was told to have, and it goes on with other WAL on the same timeline.
// Nothing acknowledged is lost, so it is as good as before; but proxies that have more, and their standbys, have other
// WAL than those that come to have the new.
func (w *world) split() {
	for _, s := range w.servers {
		if !s.primary || !s.up || s.tli != w.official || w.op.busy || w.reverted() || w.mixed() || w.pending() {
			continue
		}
		low, least, most := w.acked[s.tli], s.flushed, lsn.LSN(0)
		if f, ok := w.fork(s.tli); ok {
			low = max(low, f.at+1)
		}
		for _, p := range w.proxies {
			if p.reportedOn == s.number() {
				low = max(low, p.reported)
			}
			if p.kept != nil {
				return
			}
			if p.tli != s.tli {
				least = 0
				continue
			}
			least, most = min(least, p.received), max(most, p.received)
		}
		if low = max(low, least, 1); low >= most {
			return
		}
		at := low + lsn.LSN(w.rng.Int64N(int64(most-low)))
		for len(s.ups) > 0 {
			s.ups[0].lost() // nothing more is reported of what is gone
		}
		for _, p := range w.proxies {
			if p.upstream != nil && p.upstream.s == s { // nor on connections that only the proxy has
				p.upstream.lost()
			}
		}
		s.crash()
		acked := w.acked[s.tli]
		s.tli = w.branch(s.tli, at, s.number())
		s.flushed, s.written, s.applied = at, at, at
		s.restarts = append(s.restarts, s.end())
		w.official, w.acked[s.tli] = s.tli, acked
		w.log("%s comes back with %v, official: what is gone was not acknowledged", s.name, s.end())
		w.stats.Split++
		w.after(w.between(50, 1000), func() { s.up = s.up || !s.stopped })
		return
	}
}

// mixed reports whether a member of message version 1 is there: it has no hashes, and counts without.
func (w *world) mixed() bool {
	for _, p := range w.proxies {
		if p.release == link.Oldest {
			return true
		}
	}
	return false
}

// mend makes the store anew of a proxy that has other WAL than the primary on the same timeline: it gets a copy of what
// it shares with it.
func (w *world) mend(p *proxy) {
	on := w.common(p.where(), w.official)
	if !p.up || w.op.busy || p.kept != nil || w.retell(p) {
		return
	}
	if p.refused.number == w.number(w.official) && w.servers[p.refused.server].tli == w.official {
		p.refused = lack{} // that one is followed
	}
	if p.tli == 0 || p.number() != w.number(w.official) || on.at >= p.received {
		return
	}
	p.crash(false)
	p.tli, p.received, p.flushed, p.oldest = on.tli, on.at, on.at, min(p.oldest, on.at)
	w.log("the store of %s is made anew, up to %v", p.name, p.end())
	w.stats.Mended++
	w.after(w.between(50, 500), func() { w.restart(p) })
}

// pending reports whether a proxy has yet to do what it was told of WAL that was given up.
func (w *world) pending() bool {
	return slices.ContainsFunc(w.proxies, func(p *proxy) bool {
		return p.word != nil || p.aside != 0 || p.setAside != 0 || w.apart(p.tli, w.official) != 0
	})
}

// retell says once more to a proxy that it is to follow the primary that was accepted: it refuses it for what it has
// heard since. false: it has nothing to do with that.
func (w *world) retell(p *proxy) bool {
	for _, s := range w.servers {
		if s.primary && s.tli == w.official && slices.Contains(w.given, s.tli) {
			if p.refused.server == s.id && p.refused.number == s.number() && p.word == nil {
				p.word = &word{p.refused, s.tli}
			}
			return p.word != nil || p.aside != 0 || w.apart(p.tli, s.tli) != 0
		}
	}
	return false
}
