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
)

// accountEvery is how often the others are told an account while WAL streams in. Fenced or without an upstream,
// when somebody may be waiting for it, it is told at every look.
const accountEvery = 5 * time.Second

// Details are what an account has beyond the node's own knowledge.
type Details struct {
	Begin    lsn.LSN // of Timeline
	Timeline lsn.TimelineID
	Standbys []tail.Standby
	Complete lsn.LSN    // end of the last complete record of Timeline that was received
	Promised lsn.Point  // the highest position that was reported under a rule
	Lost     *tail.Lost // what the primary that is refused has lost, by this proxy's own WAL; nil: nothing
	Release  string     // version of replproxy
}

// accounts are what the members have said of themselves; guarded by Node.mu.
type accounts struct {
	heard map[string]heardAccount
	told  []byte // the own one, as in the outbox
	at    time.Time
}

type heardAccount struct {
	tail.Account
	at      time.Time
	version int // of the message that it came in
	// coveredEnds: a record ends at Covered. Release v0.1.0, and a member that has not received so far, can't say that.
	coveredEnds bool
	had         lsn.LSN // by all that it said of this timeline: less now means that its store was lost, or restored
	// past is what it said that it knew of other timelines: the newest maxPast.
	past []Known
}

// maxPast bounds what is remembered of a member that changes its timeline, or loses its store, again and again: more
// promotions than that between a commit and the question where it is are no failover.
const maxPast = 16

// hear takes over what peer has said.
func (a *accounts) hear(now time.Time, peer string, version int, b []byte) error {
	account, err := tail.Decode(peer, version, b)
	if err != nil {
		return err
	}
	if a.heard == nil {
		a.heard = map[string]heardAccount{}
	}
	heard := heardAccount{
		Account: account, at: now, version: version, had: max(account.Flushed, account.Promised),
		coveredEnds: account.Covered <= account.Complete,
	}
	was := a.heard[peer]
	heard.past = was.past
	if was.System == account.System && was.Timeline == account.Timeline {
		heard.had = max(heard.had, was.had)
		heard.Promised = max(account.Promised, was.Promised)
		if was.Covered > account.Covered {
			heard.Covered, heard.coveredEnds = was.Covered, was.coveredEnds
		}
	} else {
		heard.past = remember(was.past, was.says())
	}
	a.heard[peer] = heard
	return nil
}

// remember adds what is known to what was: the highest of a kind and timeline stays.
func remember(past, more []Known) []Known {
	past = slices.Clone(past)
	for _, k := range more {
		if k.Lost {
			continue // it is about a server, and holds while the member says so
		}
		i := slices.IndexFunc(past, func(x Known) bool {
			return x.System == k.System && x.Timeline == k.Timeline && x.Acked == k.Acked && x.Complete == k.Complete
		})
		if i >= 0 {
			past[i].LSN = max(past[i].LSN, k.LSN)
		} else {
			past = append(past, k)
		}
	}
	for len(past) > maxPast { // what was acknowledged goes last
		i := max(0, slices.IndexFunc(past, func(k Known) bool { return !k.Acked }))
		past = slices.Delete(past, i, i+1)
	}
	return past
}

// account is the own one. The promise is read before the positions, which so are beyond all that was ever
// reported under it. It may wait for the disk. The caller does not hold mu.
func (n *Node) account() tail.Account {
	n.mu.Lock()
	fenced, covered, losses := n.ledger.State().Fenced, n.covered, n.losses
	givenUp := losses.Told(n.keeps)
	asks, answers := n.asking.num, maps.Clone(n.asking.asked)
	n.mu.Unlock()
	var d Details
	if n.o.Details != nil {
		d = n.o.Details()
	}
	p := n.o.Store.Positions()
	a := tail.Account{
		Node: n.o.Name, System: p.System, Fenced: fenced, Timeline: p.Timeline, Received: p.Received,
		Written: p.Written, Flushed: p.Flushed, Owed: p.Owed, Standbys: d.Standbys, Promised: d.Promised.LSN,
		Lost: d.Lost, GivenUp: givenUp, Release: d.Release,
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
	if x := n.nameBytes(p); x.At != lsn.Invalid {
		a.Complete, a.CompleteHash = x.At, x.Sum
	}
	a.Asks, a.Answers = asks, answers
	return a
}

// recordEnd rounds at, a position of p.Timeline, down to the end of a record: what others do with it may be to judge a
// server that has all records, and rightly not the beginning of the next one (ruling R36). They may lack the WAL that
// it takes to round it, so they are told what is rounded. A position that is not stored here stays as it is, and so
// does one that can't be read: more is the safe side. It may wait for the disk. The caller does not hold mu.
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

// publishAccount tells the others the own account when it has changed and it is time. The caller does not
// hold mu.
func (n *Node) publishAccount(now time.Time) {
	n.mu.Lock()
	soon := n.ledger.State().Fenced < n.o.Store.Positions().Timeline && now.Sub(n.accounts.at) < accountEvery
	n.mu.Unlock()
	if !soon || !n.o.Store.Streams() {
		n.tellAccount(now)
	}
}

// tellAccount tells the others the own account when it has changed. The caller does not hold mu.
func (n *Node) tellAccount(now time.Time) {
	if n.o.Outbox == nil {
		return
	}
	n.telling.Lock()
	defer n.telling.Unlock()
	a := n.account()
	n.mu.Lock()
	defer n.mu.Unlock()
	b, older, err := tail.Encode(a)
	if err != nil || bytes.Equal(b, n.accounts.told) {
		return
	}
	n.accounts.told, n.accounts.at = b, now
	n.put(link.ID{Kind: itemAccount}, func(to []byte) ([]byte, int, error) {
		return append(to, b...), older, nil
	})
}

// Release is the version of replproxy that a member runs, as it has said; "": v0.1.0, or it has said nothing.
func (n *Node) Release(member string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.accounts.heard[member].Release
}

// Tail answers who has which WAL, and whether candidates have every acknowledged commit, as far as this node
// knows. It may wait for the disk, to find where records end.
func (n *Node) Tail(ask tail.Ask) tail.Tail {
	own := n.account()
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var members []tail.Member
	for _, m := range n.ledger.Members(now) {
		x := tail.Member{Heard: m.Heard, Reached: m.Reached, Rule: m.Rule, Contested: m.Contested, Relapsed: m.Relapsed}
		x.Account.Node = m.Node
		if a, said := n.accounts.heard[m.Node]; said {
			x.Account, x.Said, x.Age, x.Had, x.Past = a.Account, true, now.Sub(a.at).Seconds(), a.had, acked(a.past)
		}
		if m.Node == n.o.Name {
			x.Account, x.Said = own, true
		} else if x.Said {
			x.Other, x.Uncompared = n.otherWAL(own, x.Account)
		}
		members = append(members, x)
	}
	return tail.Look(members, ask)
}

// otherWAL says how another member's WAL compares with the own: a position below which it is other WAL, and whether
// it is not known to be the same as far as both have it. The caller holds mu.
func (n *Node) otherWAL(own, other tail.Account) (differs lsn.LSN, uncompared bool) {
	i := slices.IndexFunc(n.ledger.Bytes(), func(b ledger.Bytes) bool { return b.Node == other.Node })
	if i < 0 || own.Timeline == 0 || own.Timeline != other.Timeline || own.System != other.System {
		return lsn.Invalid, false // other reasons say what that means
	}
	b := n.ledger.Bytes()[i]
	return b.Differs, b.Hashes && b.Differs == lsn.Invalid && b.Equal < min(own.Complete, other.Complete)
}

// TailFrom is the member that has most of the WAL which this node's store lacks of a timeline that both are fenced
// on, so that a candidate which is attached here can be fed; "" when there is none.
func (n *Node) TailFrom() (member string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	own, fencedHere := n.o.Store.Positions(), n.ledger.State().Fenced
	if own.Timeline == 0 || fencedHere < own.Timeline {
		return ""
	}
	most := own.Received
	for _, m := range n.ledger.Members(time.Now()) {
		a, said := n.accounts.heard[m.Node]
		same := a.System == own.System && a.Timeline == own.Timeline && a.Fenced >= own.Timeline
		x := tail.Account{System: own.System, Timeline: own.Timeline, Complete: own.Complete}
		differs, uncompared := n.otherWAL(x, a.Account)
		ours := differs == lsn.Invalid && !uncompared
		if said && m.Reached && !m.Contested && !m.Relapsed && same && ours && a.Received > most {
			member, most = m.Node, a.Received
		}
	}
	return member
}
