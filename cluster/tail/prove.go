package tail

import (
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Holder is a standby, or a proxy's store, that has WAL of the timeline that is left.
type Holder struct {
	Name  string // folded
	ID    uint64 // unique
	Store bool
	// Final: it never voted beyond End on this timeline, and never will.
	Final bool
	End   lsn.LSN // 0: nothing of this timeline
}

// Proxy is a proxy that may have reported WAL to a primary, as the proof takes it.
type Proxy struct {
	Holder
	// Rules are all on which a report of it may rest, now and before.
	Rules   []quorum.Rule
	Unheard bool // they are not known
}

// Question asks whether a promotion loses nothing acknowledged. Standbys are all that may have voted, the candidate,
// whose end is final, among them.
type Question struct {
	Begin    lsn.LSN // of the timeline that is left; 0: it is the first
	Proxies  []Proxy
	Standbys []Holder
}

// Gap is a reason why nothing is proven: a proxy that is not fenced could have released commits that only holders of
// unknown end have.
type Gap struct {
	Proxy   string
	Unheard bool        // its rule is not known
	Rule    quorum.Rule // that those of unknown end can satisfy
}

// Proof is the answer. Without gaps a candidate that holds the WAL up to Target has every acknowledged commit.
type Proof struct {
	Target  lsn.LSN
	Gaps    []Gap
	Unknown []Holder // without a final end
}

// Prove returns the arithmetic of a promotion. A proxy with a final end has reported nothing beyond it. Of any other
// one, the voters of unknown end must be unable to satisfy each of its rules; then a final one has the commit. The
// beginning counts too: until something is acknowledged on a timeline, it holds what was acknowledged before.
func (q Question) Prove() Proof {
	p := Proof{Target: q.Begin}
	var finals, ends lsn.LSN // of all, of proxies
	var unknown []quorum.Voter
	note := func(h Holder) {
		if h.Final {
			finals = max(finals, h.End)
			return
		}
		p.Unknown = append(p.Unknown, h)
		unknown = append(unknown, quorum.Voter{Name: h.Name, ID: h.ID, Store: h.Store})
	}
	for _, x := range q.Proxies {
		note(x.Holder)
		if x.Final {
			ends = max(ends, x.End)
		}
	}
	for _, h := range q.Standbys {
		note(h)
	}
	open := false
	for _, x := range q.Proxies {
		if x.Final {
			continue
		}
		open = true
		if x.Unheard {
			p.Gaps = append(p.Gaps, Gap{Proxy: x.Name, Unheard: true})
		}
		for _, d := range x.Rules {
			if d.Satisfiable(unknown) {
				p.Gaps = append(p.Gaps, Gap{Proxy: x.Name, Rule: d})
			}
		}
	}
	p.Target = max(p.Target, ends)
	if open {
		p.Target = max(p.Target, finals)
	}
	return p
}
