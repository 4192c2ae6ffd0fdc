package cluster

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// memberStatusEvery is the interval at which the others are told this node's status while WAL streams in. Fenced or
// without an upstream, when somebody may be waiting for it, it is told at every look.
const memberStatusEvery = 5 * time.Second

// Details adds to a member's status the parts that the node does not know itself.
type Details struct {
	Begin    lsn.LSN // of Timeline
	Timeline lsn.TimelineID
	Standbys []tail.Standby
	Complete lsn.LSN    // end of the last complete record of Timeline that was received
	Promised lsn.Point  // the highest position that was reported under a rule
	Lost     *tail.Lost // what the primary that is refused has lost, by this proxy's own WAL; nil: nothing
	Release  string     // version of replproxy
	Backups  []string   // application_names of base backups that run through it
}

// memberStatuses keeps the newest status of each member; guarded by Node.mu.
type memberStatuses struct {
	heard map[string]heardStatus
	told  []byte // this node's, as in the outbox
	at    time.Time
}

type heardStatus struct {
	tail.MemberStatus
	at      time.Time
	version int // of the message that it came in
	// coveredEnds: a record ends at Covered. Release v0.1.0, and a member that has not received so far, can't say that.
	coveredEnds bool
	had         lsn.LSN // by all that it said of this timeline: less now means that its store was lost, or restored
	run         uint64  // of the member's process that said it; 0: not known
	gone        bool    // an operator has said so since: it is held against servers, and nobody is told that it is late
	// past has the positions that it reported for other timelines: the newest maxPast.
	past []knownwal.Known
}

// maxPast bounds the positions that are remembered of one member. One that changes its timeline or loses its store
// again and again costs no more. A failover does not promote that often between a commit and the question where it is.
const maxPast = 16

// hear takes over an encoded status of peer. One that is none is [tail.ErrStatus], and the one before stays.
func (a *memberStatuses) hear(now time.Time, peer string, version int, b []byte) error {
	status, err := tail.Decode(peer, version, b)
	if err != nil {
		return err
	}
	if a.heard == nil {
		a.heard = map[string]heardStatus{}
	}
	heard := heardStatus{
		MemberStatus: status, at: now, version: version, had: max(status.Flushed, status.PromisedHere()),
		coveredEnds: status.Covered <= status.Complete,
	}
	was := a.heard[peer]
	heard.past = was.past
	if was.System == status.System && was.Timeline == status.Timeline && was.PromisedOn == status.PromisedOn {
		heard.had = max(heard.had, was.had)
		if was.Promised != allStored || status.Promised == lsn.Invalid {
			heard.Promised = max(status.Promised, was.Promised)
		}
		if was.Covered > status.Covered {
			heard.Covered, heard.coveredEnds = was.Covered, was.coveredEnds
		}
	} else {
		heard.past = remember(was.past, was.says())
	}
	heard.past = ended(heard.past, status)
	a.heard[peer] = heard
	return nil
}

// ran notes whose run it is that a member's status comes from.
func (a *memberStatuses) ran(member string, run uint64) {
	if heard, said := a.heard[member]; said {
		heard.run = run
		a.heard[member] = heard
	}
}

// forget notes an operator's word that a member is gone, until it says something again.
func (a *memberStatuses) forget(member string) {
	if heard, said := a.heard[member]; said {
		heard.gone = true
		a.heard[member] = heard
	}
}

// remember adds more to past: of each kind and timeline the highest of a kind and timeline stays.
func remember(past, more []knownwal.Known) []knownwal.Known {
	past = slices.Clone(past)
	for _, k := range more {
		if k.Lost {
			continue // it is about a server, and holds while the member says so
		}
		i := slices.IndexFunc(past, func(x knownwal.Known) bool {
			return x.System == k.System && x.Timeline == k.Timeline && x.Acked == k.Acked && x.Complete == k.Complete
		})
		if i >= 0 {
			past[i].LSN = max(past[i].LSN, k.LSN)
		} else {
			past = append(past, k)
		}
	}
	for len(past) > maxPast { // what was acknowledged goes last
		i := max(0, slices.IndexFunc(past, func(k knownwal.Known) bool { return !k.Acked }))
		past = slices.Delete(past, i, i+1)
	}
	return past
}

// memberStatus returns this node's. The promise is read before the positions, which so are beyond all that was ever
// reported under it. It may wait for the disk. The caller does not hold mu.
func (n *Node) memberStatus() tail.MemberStatus {
	n.mu.Lock()
	fenced, covered, losses := n.ledger.State().Fenced, n.covered, n.losses
	givenUp, others := losses.Told(n.keeps, n.aside), n.others()
	asks, answers := n.asking.num, maps.Clone(n.asking.asked)
	n.mu.Unlock()
	var d Details
	if n.o.Details != nil {
		d = n.o.Details()
	}
	p := n.o.Store.Positions()
	a := tail.MemberStatus{
		Node: n.o.Name, System: p.System, Fenced: fenced, Timeline: p.Timeline, Received: p.Received,
		Written: p.Written, Flushed: p.Flushed, Owed: p.Owed, Standbys: d.Standbys, Promised: d.Promised.LSN,
		Lost: d.Lost, GivenUp: givenUp, Release: d.Release,
		Backups: d.Backups, Members: others,
	}
	if d.Promised.Timeline != p.Timeline {
		a.PromisedOn = d.Promised.Timeline
	}
	if d.Timeline == p.Timeline {
		a.Begin, a.Complete = d.Begin, min(d.Complete, p.Received)
	}
	if covered.timeline == p.Timeline {
		a.Covered = n.recordEnd(p, covered.durable)
	}
	if a.Covered <= p.Complete {
		a.Complete = max(a.Complete, a.Covered)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if x := n.nameBytes(p); x.LSN != lsn.Invalid {
		a.Complete, a.CompleteHash = x.LSN, x.Sum
	}
	a.Asks, a.Answers = asks, answers
	return a
}

// recordEnd rounds at, a position of p.Timeline, down to the end of a record. Others judge servers by it: a server
// that has all records, but not the beginning of the next one, is complete (ruling R36). They may lack the WAL that it
// takes to round it, so they are told what is rounded. A position that is not stored here stays as it is, and so does
// one that can't be read: more is the safe side. It may wait for the disk. The caller does not hold mu.
func (n *Node) recordEnd(p Positions, at lsn.LSN) lsn.LSN {
	if at <= p.Oldest || at > p.Received {
		return at
	}
	end, err := n.o.Store.LastComplete(p.Timeline, at)
	if err != nil || n.o.Store.Positions().Timeline != p.Timeline {
		return at // of a timeline that is left the answer may be the fork
	}
	return end
}

// publishMemberStatus tells the others this node's status when it has changed and it is time. The caller does not hold
// mu.
func (n *Node) publishMemberStatus(now time.Time) {
	n.mu.Lock()
	soon := n.ledger.State().Fenced < n.o.Store.Positions().Timeline && now.Sub(n.statuses.at) < memberStatusEvery
	n.mu.Unlock()
	if _, streams := n.o.Store.Streams(); !soon || !streams {
		n.tellMemberStatus(now)
	}
}

// tellMemberStatus tells the others this node's status when it has changed. The caller does not hold mu.
func (n *Node) tellMemberStatus(now time.Time) {
	if n.o.Outbox == nil {
		return
	}
	n.telling.Lock()
	defer n.telling.Unlock()
	a := n.memberStatus()
	n.mu.Lock()
	defer n.mu.Unlock()
	b, older, err := tail.Encode(a)
	if err != nil || bytes.Equal(b, n.statuses.told) {
		return
	}
	n.statuses.told, n.statuses.at = b, now
	n.put(link.ID{Kind: itemMemberStatus}, func(to []byte) ([]byte, int, error) {
		return append(to, b...), older, nil
	})
}

// Release returns the version of replproxy that a member runs, as it has said; "": v0.1.0, or it has said nothing.
func (n *Node) Release(member string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.statuses.heard[member].Release
}

// Tail lists the WAL of each proxy and standby, and judges whether candidates have every acknowledged commit, as far as
// this node knows. It may wait for the disk, to find where records end.
func (n *Node) Tail(ask tail.Ask) tail.Tail {
	own := n.memberStatus()
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var members []tail.Member
	for _, m := range n.ledger.Members(now) {
		x := tail.Member{Heard: m.Heard, Reached: m.Reached, Rule: m.Rule, Contested: m.Contested, Relapsed: m.Relapsed}
		x.Status.Node, x.Silent = m.Node, m.Silence.Seconds()
		if a, said := n.statuses.heard[m.Node]; said {
			if a.gone {
				a.Members = nil // what it knew went with it
			}
			x.Status, x.Said, x.Age, x.Had, x.Past = a.MemberStatus, true, now.Sub(a.at).Seconds(), a.had, acked(a.past)
		}
		if m.Node == n.o.Name {
			x.Status, x.Said = own, true
		} else if x.Said {
			x.Other, x.Uncompared = n.otherWAL(own, x.Status)
		}
		members = append(members, x)
	}
	return tail.Look(members, ask)
}

// tailStatus returns the part of a status by which WAL is compared.
func tailStatus(p Positions) tail.MemberStatus {
	return tail.MemberStatus{System: p.System, Timeline: p.Timeline, Complete: p.Complete}
}

// otherWAL compares another member's WAL with this node's. Below differs the two are known to differ. uncompared is
// true until they are known to be equal as far as both have WAL. The caller holds mu.
func (n *Node) otherWAL(own, other tail.MemberStatus) (differs lsn.LSN, uncompared bool) {
	i := slices.IndexFunc(n.ledger.Bytes(), func(b ledger.Bytes) bool { return b.Node == other.Node })
	if i < 0 || own.Timeline == 0 || own.Timeline != other.Timeline || own.System != other.System {
		return lsn.Invalid, false // other reasons say what that means
	}
	b := n.ledger.Bytes()[i]
	return b.Differs, b.Hashes && b.Differs == lsn.Invalid && b.Equal < min(own.Complete, other.Complete)
}

// Final reports whether a member and this node are fenced on timeline t of this node's system. By its own words the
// member then has no WAL of it beyond at.
func (n *Node) Final(member string, t lsn.TimelineID, at lsn.LSN) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, said := n.statuses.heard[member]
	fenced := a.Fenced >= t && n.ledger.State().Fenced >= t
	return said && fenced && a.System == n.o.Store.Positions().System && a.Timeline == t && a.Received <= at
}

// TailFrom returns the member that has most of the WAL which this node's store lacks. Both must be fenced on that
// timeline. A candidate that is attached here can then be fed; "" means that no member has more.
func (n *Node) TailFrom() (member string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	own, fencedHere := n.o.Store.Positions(), n.ledger.State().Fenced
	if own.Timeline == 0 || fencedHere < own.Timeline {
		return ""
	}
	most := own.Received
	for _, m := range n.ledger.Members(time.Now()) {
		a, said := n.statuses.heard[m.Node]
		same := a.System == own.System && a.Timeline == own.Timeline && a.Fenced >= own.Timeline
		differs, uncompared := n.otherWAL(tailStatus(own), a.MemberStatus)
		ours := differs == lsn.Invalid && !uncompared
		if said && m.Reached && !m.Contested && !m.Relapsed && same && ours && a.Received > most {
			member, most = m.Node, a.Received
		}
	}
	return member
}
