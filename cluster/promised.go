package cluster

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// highestCovered is the highest position that a rule covered here on one timeline since the start. Another member that
// heard the same acks may have reported it. Guarded by Node.mu.
type highestCovered struct {
	timeline lsn.TimelineID
	at       lsn.LSN
	durable  lsn.LSN // of flush and apply: what a crash of voters does not take
}

func (c *highestCovered) note(t lsn.TimelineID, p lsn.Progress) {
	if c.timeline != t {
		*c = highestCovered{timeline: t}
	}
	c.durable = max(c.durable, p.Flush, p.Apply)
	c.at = max(c.at, c.durable, p.Write)
}

// Known returns the positions that a server must have before it is followed (rulings R3, R32), even if this node has
// reported nothing and its store is empty. They are those that members have and reported, on whatever timeline, and
// those that a quorum is known to have had. A member that stays away longer than members take to be heard of is not
// waited for, once another one was heard: it could be gone with the primary. Who is alone waits until a member is
// heard, or the operator has forgotten all of them (ADR 0086). Without another member there is nothing, and nobody is
// unheard without a rule.
func (n *Node) Known() (all []knownwal.Known, unheard knownwal.Unheard) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	ruled := n.evaluate(now).Ruled
	silent, some := n.silent(n.others())
	for _, name := range n.o.Members {
		if a, said := n.statuses.heard[name]; said {
			claims := a.says()
			if !a.gone {
				claims = n.late.noteLate(claims, a.run)
			}
			all = append(append(all, claims...), a.past...)
		}
	}
	switch {
	case !ruled || len(silent) == 0:
	case now.Sub(n.began) < n.o.Timeout:
		unheard.Members = silent
	case !some:
		unheard = knownwal.Unheard{Members: silent, Alone: true}
	}
	if strangers := n.strangers(); ruled && len(unheard.Members) == 0 && len(strangers) > 0 {
		unheard = knownwal.Unheard{Members: []string{strangers[0].Name}, KnownBy: strangers[0].KnownBy}
	}
	if len(n.o.Members) > 0 && n.covered.timeline != 0 {
		covered := lsn.Point{System: n.at.System, Timeline: n.covered.timeline, LSN: n.covered.at}
		all = append(all, knownwal.Known{Point: covered, Acked: true})
	}
	all = append(all, n.shown.known(n.o.Store.Positions())...)
	return all, unheard
}

// silent returns those of members that have said nothing since the start. some: another one has said something. The
// caller holds mu.
func (n *Node) silent(members []string) (names []string, some bool) {
	for _, name := range members {
		if _, said := n.statuses.heard[name]; said {
			some = true
		} else {
			names = append(names, name)
		}
	}
	return names, some
}

// Highest returns the highest timeline that this node's store has, or that a member has or had, as far as it has said;
// 1 is always there. That of a promise counts, too, which is the higher one of a store that was emptied.
func (n *Node) Highest() lsn.TimelineID {
	highest := max(n.o.Store.Positions().Timeline, 1)
	if n.o.Details != nil {
		highest = max(highest, n.o.Details().Promised.Timeline)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.statuses.heard {
		highest = max(highest, a.Timeline, a.PromisedOn)
		for _, k := range a.past {
			highest = max(highest, k.Timeline)
		}
	}
	return highest
}

// allStored stands for all WAL. A member says it whose store was emptied amid reports: nobody knows how far they went.
const allStored = lsn.LSN(math.MaxUint64)

// ended returns past without what had no end on the timeline for which a member says a position now. It has begun its
// store anew since, from a primary that had all of it.
func ended(past []knownwal.Known, says tail.MemberStatus) []knownwal.Known {
	on := cmp.Or(says.PromisedOn, says.Timeline)
	if says.Promised == lsn.Invalid || says.Promised == allStored {
		return past
	}
	return slices.DeleteFunc(past, func(k knownwal.Known) bool {
		return k.Acked && k.LSN == allStored && k.Timeline == on && (k.System == 0 || k.System == says.System)
	})
}

// says returns the positions that the member claims now, with WAL that it owes and WAL that its primary has lost.
func (a *heardStatus) says() (all []knownwal.Known) {
	if a.Complete != lsn.Invalid {
		has := lsn.Point{System: a.System, Timeline: a.Timeline, LSN: a.Complete}
		all = append(all, knownwal.Known{Point: has, By: a.Node, Complete: true})
	}
	for i, p := range a.Acked() {
		// Release v0.1.0, which does not say where its last record ends, does not stop at the end of one.
		stops := a.coveredEnds
		if i == 0 && a.Promised != lsn.Invalid {
			stops = (a.Complete != lsn.Invalid || a.PromisedOn != 0) && a.Promised != allStored
		}
		all = append(all, knownwal.Known{Point: p, By: a.Node, Acked: true, Complete: stops})
	}
	if a.Owed > a.Flushed { // it may have reported that, and no record need end there
		owed := lsn.Point{System: a.System, Timeline: a.Timeline, LSN: a.Owed}
		all = append(all, knownwal.Known{Point: owed, By: a.Node, Acked: true})
	}
	if l := a.Lost; l != nil {
		p := lsn.Point{System: l.System, Timeline: l.Timeline, LSN: l.To}
		all = append(all, knownwal.Known{Point: p, By: a.Node, Complete: true, Lost: true, From: l.From})
	}
	return all
}

// acked returns the positions that were acknowledged.
func acked(known []knownwal.Known) (all []lsn.Point) {
	for _, k := range known {
		if k.Acked {
			all = append(all, k.Point)
		}
	}
	return all
}
