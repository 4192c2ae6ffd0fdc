package compare

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// maxWaiting bounds the prints of reports that are ahead of this store. The lowest are kept, so that a busy member
	// is compared at all. The newest are kept too, for the last commit of a quiet one.
	maxWaiting = 32
	// MaxList bounds the hashes that a member lists: of its newest sealed segments, and in answers.
	MaxList = 128
)

// Local is this node's store at one moment.
type Local struct {
	Timeline                   lsn.TimelineID
	Oldest, Received, Complete lsn.LSN // Complete is the end of the last complete record of Received
	SegSize                    lsn.SegSize
	// HashAt is this store's hash; false: it is not known at hand. It must not block.
	HashAt func(t lsn.TimelineID, at lsn.LSN) (sum uint64, ok bool)
}

// Peer holds the result of comparing one other member's bytes with this node's. The zero value: nothing is compared.
type Peer struct {
	timeline lsn.TimelineID // this node's, which the rest is about
	begun    bool           // from is known
	from     lsn.LSN        // compared from here on: a segment's start
	equal    lsn.LSN        // up to here; from: nothing is compared yet
	differs  lsn.LSN        // somewhere below it bytes are others; Invalid: not known to be so

	listed   bool        // list and oldest have come since the connection began
	oldest   lsn.LSN     // of the member's store
	complete lsn.LSN     // the highest At of a report on timeline
	waiting  []lsn.Print // of reports, ascending
	list     []lsn.Print

	toRead  []lsn.Print // prints whose own hash is not at hand
	news    bool        // something came since the last Step
	reached lsn.LSN     // what this node's store had received at the last Step
	open    bool        // a hash differed where a record was not complete yet
}

// Equal returns up to where the member's bytes are ours; Invalid: not compared.
func (p *Peer) Equal() lsn.LSN {
	if p.equal == p.from {
		return lsn.Invalid
	}
	return p.equal
}

// From returns the beginning of the comparison.
func (p *Peer) From() lsn.LSN { return p.from }

// Differs returns a position below which the bytes are others; Invalid: none is known.
func (p *Peer) Differs() lsn.LSN { return p.differs }

// Begin starts the comparison anew, for a new connection. A difference stays.
func (p *Peer) Begin() {
	*p = Peer{timeline: p.timeline, differs: p.differs}
}

// Report takes the print of a report.
func (p *Peer) Report(x lsn.Print) {
	if x.LSN == lsn.Invalid || x.Timeline < p.timeline {
		return
	}
	if x.Timeline == p.timeline {
		p.complete = max(p.complete, x.LSN)
		if x.LSN <= p.equal && p.differs == lsn.Invalid {
			return
		}
	}
	i, found := slices.BinarySearchFunc(p.waiting, x, order)
	switch {
	case found:
		p.waiting[i] = x
	case len(p.waiting) < maxWaiting:
		p.waiting = slices.Insert(p.waiting, i, x)
	case i == len(p.waiting):
		p.waiting[i-1] = x // the newest takes the place of the newest
	default:
		return
	}
	p.news = true
}

func order(a, b lsn.Print) int {
	return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.LSN, b.LSN))
}

// List replaces the member's list: where its store begins, and hashes, of which those at the ends of segments are of
// whole segments. Beyond MaxList they are cut off.
func (p *Peer) List(oldest lsn.LSN, list []lsn.Print) {
	p.listed, p.oldest, p.news = true, oldest, true
	p.list = slices.Clone(list[:min(len(list), MaxList)])
	slices.SortFunc(p.list, order)
}

// Step goes on with the comparison as far as the known hashes allow. It reports whether Equal or Differs have changed.
func (p *Peer) Step(o Local) (changed bool) {
	if o.Timeline != p.timeline {
		keep := p.waiting[:0]
		for _, x := range p.waiting {
			if x.Timeline >= o.Timeline {
				keep = append(keep, x)
			}
		}
		*p = Peer{timeline: o.Timeline, listed: p.listed, oldest: p.oldest, waiting: keep, list: p.list, news: true}
		for _, x := range keep {
			if x.Timeline == o.Timeline {
				p.complete = max(p.complete, x.LSN)
			}
		}
		changed = true
	}
	if o.Timeline == 0 || !p.news && !p.open && !p.overtaken(o.Received) {
		return changed
	}
	equal, differs := p.Equal(), p.differs
	p.news, p.open, p.reached, p.toRead = false, false, o.Received, p.toRead[:0]
	if p.differs != lsn.Invalid && o.SegSize.Floor(p.differs-1) < p.later(o) {
		p.differs = lsn.Invalid // it is not in both stores any more, and found again if hashes at hand show it
	}
	p.compare(o)
	p.drop(o)
	return changed || p.Equal() != equal || p.differs != differs
}

// overtaken reports whether this node's store has reached a print that waits since the last Step.
func (p *Peer) overtaken(received lsn.LSN) bool {
	return slices.ContainsFunc(p.waiting, func(x lsn.Print) bool { return p.reached < x.LSN && x.LSN <= received })
}

// Again makes the next Step compare: an own hash that was lacking is at hand.
func (p *Peer) Again() { p.news = true }

// Unread takes back a print whose own hash can't be had.
func (p *Peer) Unread(x lsn.Print) {
	gone := func(y lsn.Print) bool { return y == x }
	p.waiting, p.list = slices.DeleteFunc(p.waiting, gone), slices.DeleteFunc(p.list, gone)
	p.toRead = slices.DeleteFunc(p.toRead, gone)
}

// later returns the start of the segment in which the later of both stores begins.
func (p *Peer) later(o Local) lsn.LSN { return o.SegSize.Floor(max(o.Oldest, p.oldest)) }

// begin starts the comparison at the newest sealed segment that both stores have: behind it if the hashes agree, else
// at its beginning. With a known difference it starts at the segment of that. Without a segment that both have whole it
// starts where the later of both stores begins, if an end of WAL of both is in that segment.
//
// It may return with p.begun false: call it again at the next Step. The member may not have listed its store yet, or a
// hash of this store has to be read first (p.toRead). Bytes may still be replaced (p.open), or there is no common WAL.
func (p *Peer) begin(o Local) {
	if !p.listed {
		return
	}
	if p.differs != lsn.Invalid {
		p.start(o.SegSize.Floor(p.differs - 1))
		return
	}
	for _, x := range slices.Backward(p.list) {
		if !o.SegSize.IsStart(x.LSN) || x.LSN > o.Received || x.LSN-lsn.LSN(o.SegSize) < p.later(o) {
			continue
		}
		if x.Timeline > o.Timeline {
			continue
		}
		switch sum, ok := o.HashAt(x.Timeline, x.LSN); {
		case !ok && x.LSN > o.Complete:
			p.open = true // it is not read yet: its bytes may be replaced
			continue
		case !ok:
			p.toRead = append(p.toRead, x)
		case sum == x.Sum:
			p.start(x.LSN - lsn.LSN(o.SegSize))
			p.equal = x.LSN
		default:
			if p.found(o, x); p.differs == lsn.Invalid {
				continue // its bytes may be replaced
			}
			p.start(x.LSN - lsn.LSN(o.SegSize))
		}
		return
	}
	for _, end := range [2]lsn.LSN{min(o.Received, p.complete), min(o.Complete, p.complete)} {
		if end > p.later(o) && o.SegSize.Floor(end-1) == p.later(o) {
			p.start(p.later(o)) // there is no whole segment that both have
			return
		}
	}
}

func (p *Peer) start(at lsn.LSN) { p.begun, p.from, p.equal = true, at, at }

// extend compares prints in ascending order as long as they join.
func (p *Peer) extend(o Local) {
	for _, x := range p.candidates(o) {
		if x.LSN <= p.equal && p.differs == lsn.Invalid || o.SegSize.Floor(x.LSN-1) > p.equal {
			continue
		}
		switch sum, ok := o.HashAt(x.Timeline, x.LSN); {
		case !ok && x.LSN > o.Complete:
			p.open = true // it is not read yet: its bytes may be replaced
		case !ok:
			p.toRead = append(p.toRead, x)
		case sum == x.Sum:
			p.equal = max(p.equal, x.LSN)
			if p.equal >= p.differs {
				p.differs = lsn.Invalid
			}
		default:
			p.found(o, x)
		}
	}
}

// candidates returns the prints that this node's store has reached, ascending.
func (p *Peer) candidates(o Local) (all []lsn.Print) {
	for _, list := range [][]lsn.Print{p.list, p.waiting} {
		for _, x := range list {
			if x.LSN <= o.Received && x.LSN > p.from && x.Timeline <= o.Timeline {
				all = append(all, x)
			}
		}
	}
	slices.SortFunc(all, func(a, b lsn.Print) int { return cmp.Compare(a.LSN, b.LSN) })
	return all
}

// found notes a difference where both have a complete record at or beyond it: before, the bytes may yet be replaced.
func (p *Peer) found(o Local, x lsn.Print) {
	switch {
	case x.LSN > o.Complete || x.LSN > p.complete:
		p.open = true
	case p.differs == lsn.Invalid || x.LSN < p.differs:
		p.differs = x.LSN
	}
}

// drop forgets prints of reports that say nothing any more.
func (p *Peer) drop(o Local) {
	p.waiting = slices.DeleteFunc(p.waiting, func(x lsn.Print) bool {
		behind := x.LSN <= p.equal && p.differs == lsn.Invalid
		return x.Timeline < o.Timeline || x.Timeline == o.Timeline && behind
	})
}

// ToRead returns the prints that wait for this store's hash at their position, which has to be read.
func (p *Peer) ToRead() []lsn.Print { return p.toRead }

// Asks returns a position at which the member's hash would tell more than what it has said; Invalid: none. It is one
// that both have, as far as is known here. Ask when it has been the same for a while: mostly it comes by itself.
func (p *Peer) Asks(o Local) (at lsn.LSN) {
	if !p.listed || o.Timeline == 0 || p.timeline != o.Timeline || p.complete <= p.equal && p.differs == lsn.Invalid {
		return lsn.Invalid
	}
	if !p.begun || p.gap(o) {
		at = min(o.Complete, p.complete)
		if end := o.SegSize.Floor(at); end > p.later(o) {
			return end
		}
		if at <= p.later(o) || !p.begun {
			return lsn.Invalid // else its report begins the comparison
		}
		return at
	}
	if end := o.SegSize.Floor(p.equal) + lsn.LSN(o.SegSize); end <= min(o.Complete, p.complete) {
		return end
	}
	at = min(o.Complete, p.complete)
	if at <= p.equal && p.differs == lsn.Invalid || !o.may(o.Timeline, at) {
		return lsn.Invalid
	}
	return at
}
