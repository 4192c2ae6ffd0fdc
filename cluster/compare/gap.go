package compare

import "github.com/replproxy/replproxy/grammar/lsn"

// compare begins the comparison if need be, and goes on with it. Behind a gap it begins anew, where both have WAL. What
// is known to be equal is kept until more is known there.
func (p *Peer) compare(o Local) {
	from, equal, gap := p.from, p.equal, p.begun && p.gap(o)
	if gap {
		p.begun, p.from, p.equal = false, lsn.Invalid, lsn.Invalid
	}
	if !p.begun {
		p.begin(o)
	}
	if p.begun {
		p.extend(o)
	}
	if gap && p.Equal() == lsn.Invalid && p.differs == lsn.Invalid {
		p.begun, p.from, p.equal = true, from, equal
	}
}

// gap reports whether the comparison can never go on from where it has come to. A print that joins takes the member's
// hash and this node's own in the segment that comes next. Once a store has removed that segment, only hashes that are
// said already, or are in memory, are left.
func (p *Peer) gap(o Local) bool {
	at := o.SegSize.Floor(p.equal)
	if at >= p.later(o) {
		return false // both have the segment
	}
	for _, list := range [][]lsn.Print{p.list, p.waiting} {
		for _, x := range list {
			if x.LSN > p.equal && o.SegSize.Floor(x.LSN-1) <= p.equal && x.Timeline <= o.Timeline && p.tells(o, x) {
				return false
			}
		}
	}
	if p.oldest > at {
		return true // the member can't say another one
	}
	return !o.may(o.Timeline, at+lsn.LSN(o.SegSize))
}

// tells reports whether a print that joins tells something, now or once this node's own hash is there.
func (p *Peer) tells(o Local, x lsn.Print) bool {
	if x.LSN > o.Complete {
		return true // its bytes are not there yet, or may be replaced
	}
	sum, known := o.HashAt(x.Timeline, x.LSN)
	if !known {
		return o.may(x.Timeline, x.LSN)
	}
	has := o.SegSize.Floor(x.LSN-1) >= o.SegSize.Floor(p.oldest) // else it is of a store that the member has no more
	return sum == x.Sum || has
}

// may reports whether this node's hash at a position is at hand, or can be read.
func (o Local) may(t lsn.TimelineID, at lsn.LSN) bool {
	_, known := o.HashAt(t, at)
	return known || o.SegSize.Floor(at-1) >= o.SegSize.Floor(o.Oldest)
}
