package loss

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// world is a primary that loses WAL again and again, proxies and standbys. WAL is, for each position from 1 on, the era
// in which it was written: two servers have the same WAL where their eras agree.
type world struct {
	rnd     *rand.Rand
	broken  string // what is left out
	era     int
	primary []int
	proxies [2]*proxy
	all     []*standby
}

type proxy struct {
	name    string
	wal     []int
	follows bool    // the primary; else it has WAL that the primary lost
	lost    lsn.LSN // from here
	to      lsn.LSN // to here, as far as any proxy had it
	set     Set
	disk    []byte // of set
}

type standby struct {
	who      Who
	wal      []int
	at       *proxy // nil: it is not attached
	letIn    bool   // it was asked
	reported int    // it has more
}

func newWorld(seed uint64, broken string) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 3)), broken: broken, primary: make([]int, 10)}
	for i := range w.proxies {
		w.proxies[i] = &proxy{name: fmt.Sprint("p", i), wal: slices.Clone(w.primary), follows: true}
	}
	for i := range 5 { // two of one name on two hosts, and two of one name on one host with two slots
		name, host, slot := fmt.Sprint("s", i), fmt.Sprint("h", i), ""
		switch i {
		case 1:
			name = "s0"
		case 3:
			name, host, slot = "s2", "h2", "other"
		}
		w.all = append(w.all, &standby{who: Who{name, host, slot}, wal: slices.Clone(w.primary)})
	}
	return w
}

func prefix(of, wal []int) bool { return len(wal) <= len(of) && slices.Equal(of[:len(wal)], wal) }

// attach is a START at p and the first report. Whoever makes a standby anew from a primary that nobody has accepted does
// not lead it to a proxy.
func (w *world) attach(s *standby, p *proxy) {
	if !p.follows && !prefix(p.wal, s.wal) {
		return
	}
	s.at, s.letIn, s.reported = p, false, len(s.wal)
	at := lsn.LSN(len(s.wal))
	first := First{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}}
	for _, l := range p.set {
		if !p.follows && !l.Own && lsn.LSN(len(p.wal)) > l.From && l.Parted(first) && w.broken != "lost WAL is served" {
			s.at = nil
			return
		}
	}
	if w.broken == "no first report" {
		return
	}
	for i, l := range p.set {
		if !l.Asks(s.who) || !l.Own && !p.follows {
			continue
		}
		s.letIn = true
		judged, refused := l.Judge(s.who, first, w.others(p))
		if p.set = slices.Clone(p.set); w.broken == "one standby speaks for its name" && !refused {
			judged.Said = add(judged.Said, s.who.Name)
		}
		if p.set[i] = judged; refused {
			s.at, s.letIn = nil, false
		}
	}
}

// others are the members that p may not have heard yet.
func (w *world) others(p *proxy) (names []string) {
	for _, o := range w.proxies {
		if o != p && w.broken != "who passes is never asked again" {
			names = append(names, o.name)
		}
	}
	return names
}

// has reports whether a member has what was written instead of a loss.
func (w *world) has(member string, l Loss) bool {
	for _, p := range w.proxies {
		if p.name == member {
			return p.set.Told(p.kept, 0).Brings(l)
		}
	}
	return false
}

// leave is the end of a session.
func (w *world) leave(s *standby) {
	p, reported := s.at, s.reported
	if s.at = nil; p == nil || !s.letIn {
		return
	}
	if w.broken == "what was sent is taken for what it has" {
		reported = len(p.wal)
	}
	p.set = slices.Clone(p.set)
	for i, l := range p.set {
		if l.Own || p.follows {
			p.set[i] = l.Left(s.who, lsn.LSN(reported))
		}
	}
}

func (p *proxy) save() { p.disk, _ = json.Marshal(p.set) }

// kept reports whether the disk has a loss.
func (p *proxy) kept(l Loss) bool {
	var all Set
	_ = json.Unmarshal(p.disk, &all)
	return slices.ContainsFunc(all, func(x Loss) bool { return x.ID == l.ID && x.From == l.From })
}

// giveUp is the operator's word to p, which begins anew with the primary's WAL.
func (w *world) giveUp(p *proxy) {
	var names []string
	for _, s := range w.all {
		if s.at == p && lsn.LSN(len(s.wal)) > p.lost {
			names = append(names, s.who.Name)
		}
		if s.at == p {
			w.leave(s)
		}
	}
	p.set, _ = p.set.GiveUp(Loss{ID: w.rnd.Uint64() | 1, System: sys, Timeline: 2, From: p.lost, To: p.to}, names)
	p.wal, p.set, p.follows = slices.Clone(w.primary), p.set.Streams(instead), true
	p.save()
}

// hear merges another proxy's losses; one that still has the lost WAL lets those go who have none of it.
func (w *world) hear(p, from *proxy) {
	kept := from.kept
	if w.broken == "told before it is kept" {
		kept = func(Loss) bool { return true }
	}
	p.set, _ = p.set.Hear(from.name, from.set.Told(kept, 0))
	for _, l := range p.set {
		for _, s := range w.all {
			if s.at == p && !p.follows && !l.Own && lsn.LSN(len(s.wal)) <= l.From {
				w.leave(s)
			}
		}
	}
}

func (w *world) step() {
	p, s := w.proxies[w.rnd.IntN(2)], w.all[w.rnd.IntN(len(w.all))]
	switch w.rnd.IntN(12) {
	case 0:
		for range 1 + w.rnd.IntN(4) {
			w.primary = append(w.primary, w.era)
		}
	case 2, 3:
		if yes := func(Loss) bool { return true }; p.follows {
			p.wal, p.set = slices.Clone(w.primary), p.set.Streams(Store{Concerns: yes, Brings: yes})
		}
	case 4, 5, 6:
		if s.at == nil {
			w.attach(s, p)
		} else if len(s.wal) < len(s.at.wal) { // it gets WAL
			to := len(s.wal) + 1 + w.rnd.IntN(len(s.at.wal)-len(s.wal))
			s.wal = append(slices.Clip(s.wal), s.at.wal[len(s.wal):to]...)
			if w.rnd.IntN(2) == 0 {
				s.reported = len(s.wal)
			}
		}
	case 7:
		w.leave(s)
	case 8: // made anew, with no more WAL than a proxy has; the operator says so only where it is true
		if !p.follows {
			return
		}
		p.wal = slices.Clone(w.primary)
		w.leave(s)
		if s.wal = slices.Clone(w.primary); w.rnd.IntN(2) == 0 {
			others := slices.ContainsFunc(w.all, func(o *standby) bool {
				return o.who.Name == s.who.Name && !prefix(w.primary, o.wal)
			})
			at := Store{Concerns: func(Loss) bool { return true }}
			u := p.set.Unready(at, w.others(p), func(m string, l Loss) bool { return w.has(m, l) })
			if ready := len(u.Unheard)+len(u.Lost) == 0; !others && (ready || w.broken == "an operator is obeyed at once") {
				p.set, _ = p.set.MadeAnew(s.who.Name)
			}
		}
	case 9: // the primary loses WAL, if nobody waits
		if !w.proxies[0].follows || !w.proxies[1].follows || w.era+1 >= MaxLosses/len(w.proxies) {
			return
		}
		w.era++
		w.primary = append(slices.Clone(w.primary[:len(w.primary)-min(w.rnd.IntN(12), len(w.primary)-1)]), w.era)
		has := w.proxies[0].wal
		if len(w.proxies[1].wal) > len(has) {
			has = w.proxies[1].wal
		}
		same := 0
		for same < len(has) && same < len(w.primary) && has[same] == w.primary[same] {
			same++
		}
		for _, p := range w.proxies { // what one knows all know
			p.follows, p.lost, p.to = same == len(has), lsn.LSN(same), lsn.LSN(len(has))
		}
	case 10:
		if !p.follows && (p == w.proxies[0] || w.rnd.IntN(8) == 0) { // the other one is left alone for a while
			w.giveUp(p)
		}
	case 11: // a member hears the other one, makes durable what it knows, or starts again
		switch w.rnd.IntN(8) {
		case 0, 1, 2, 3:
			w.hear(p, w.proxies[1-slices.Index(w.proxies[:], p)])
			return
		case 4, 5:
			p.save()
			return
		case 6: // in order
			for _, s := range w.all {
				if s.at == p {
					w.leave(s)
				}
			}
			p.save()
		}
		p.set = nil
		if w.broken != "forgotten by a restart" {
			_ = json.Unmarshal(p.disk, &p.set)
		}
		for _, s := range w.all {
			if s.at == p {
				s.at = nil
			}
		}
	}
}

// mixed is a standby that follows a proxy with other WAL than that has.
func (w *world) mixed() string {
	for _, s := range w.all {
		if s.at != nil && !prefix(s.at.wal, s.wal) && !prefix(s.wal, s.at.wal) {
			return fmt.Sprintf("%v has %v of %v", s.who, s.wal, s.at.wal)
		}
	}
	return ""
}

// TestModel: whatever comes in whatever order, no standby with lost WAL follows a proxy that has what was written
// instead; each of what it takes is needed.
func TestModel(t *testing.T) {
	for _, broken := range []string{
		"", "no first report", "one standby speaks for its name", "forgotten by a restart",
		"lost WAL is served", "who passes is never asked again",
		"what was sent is taken for what it has", "told before it is kept",
		"an operator is obeyed at once",
	} {
		found, seeds := false, uint64(2000)
		if broken != "" {
			seeds *= 10 // until it is found
		}
		for seed := range seeds {
			w := newWorld(seed, broken)
			for i := range 400 {
				w.step()
				if m := w.mixed(); m != "" {
					found = true
					if broken == "" {
						t.Fatalf("seed %d, step %d: %s; %+v", seed, i, m, w.proxies)
					}
					break
				}
			}
			if found {
				break
			}
		}
		if found != (broken != "") {
			t.Errorf("%q is found: %t", broken, found)
		}
	}
}
