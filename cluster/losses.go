package cluster

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// others returns the members that may serve standbys: those that are not forgotten. The caller holds mu.
func (n *Node) others() []string {
	gone := n.ledger.Forgotten()
	return slices.DeleteFunc(slices.Clone(n.o.Members), func(m string) bool { return slices.Contains(gone, m) })
}

// setLosses takes s over. The caller holds mu.
func (n *Node) setLosses(s loss.Set) {
	n.losses = s
	n.statuses.at = time.Time{} // the others are told at the next look
	n.tellBeyond(n.o.Store.Positions())
	n.touch()
}

// tellBeyond tells the ledger who has WAL that was given up. The caller holds mu.
func (n *Node) tellBeyond(p Positions) {
	if names := n.losses.Suspects(n.storeAt(p)); !slices.Equal(names, n.beyond) {
		n.beyond = names
		n.ledger.SetBeyond(names)
		n.stale = true
	}
}

// concerns reports whether WAL beyond a loss is WAL of the store's history. The caller holds mu.
func (n *Node) concerns(l loss.Loss, p Positions) bool {
	if l.System != p.System || l.Void && l.Timeline != p.Timeline && !n.saidInstead(l) {
		return false
	}
	if l.Timeline == p.Timeline || n.o.History == nil {
		return l.Timeline <= p.Timeline
	}
	return l.In(n.o.History())
}

// saidInstead reports whether a member says that it has, or gets, what was written instead of l. The caller holds mu.
func (n *Node) saidInstead(l loss.Loss) bool {
	for _, a := range n.statuses.heard {
		if a.GivenUp.Brings(l) {
			return true
		}
	}
	return false
}

// storeAt describes the store at p. The caller holds mu.
func (n *Node) storeAt(p Positions) loss.Store {
	return loss.Store{
		Concerns: func(l loss.Loss) bool { return n.concerns(l, p) }, Brings: n.brings,
		Received: p.Received, Timeline: p.Timeline, Aside: n.aside,
	}
}

// adoptLosses notes at a look that the store takes the WAL that was written instead of what was lost. The caller holds
// mu.
func (n *Node) adoptLosses() {
	if len(n.losses) == 0 {
		return
	}
	n.losses = n.losses.Streams(n.storeAt(n.o.Store.Positions()))
}

// Begins takes note, durably, that the next WAL of the store comes from a member, or with "" from a server. empty: the
// store has nothing yet. left is the timeline that it has just left, 0: none. It is called before that WAL comes. If
// it takes the place of WAL that was given up, that is durable when Begins returns. kept: the store goes on with WAL
// that it was to set aside, as the timeline that it follows has it. It may wait for the disk.
func (n *Node) Begins(member string, empty bool, left lsn.TimelineID) (kept bool, err error) {
	n.mu.Lock()
	at := n.storeAt(n.o.Store.Positions())
	if left != 0 && !empty {
		kept = n.keptBy(at, left)
	}
	at.Brings = func(l loss.Loss) bool { return n.bringsFrom(member, l) }
	if empty {
		at.Received = lsn.Invalid
	}
	n.losses = n.losses.Begins(at)
	n.mu.Unlock()
	return kept, n.saveLosses()
}

// keptBy notes that the timeline for which the store has left another one has WAL that was given up, as
// [loss.Set.KeptBy] does. It reports whether the next start was to set that WAL aside. The caller holds mu.
func (n *Node) keptBy(at loss.Store, left lsn.TimelineID) (aside bool) {
	s, kept := n.losses.KeptBy(at, left, n.saidInstead)
	if len(kept) == 0 {
		return false
	}
	if aside = slices.Contains(kept, n.aside); aside {
		n.aside = 0
	}
	n.setLosses(s)
	n.mu.After(func() {
		n.log.Info("the timeline that is followed has WAL that was given up: nobody is asked about it any more",
			"left_timeline", uint32(left))
	})
	return aside
}

// brings reports whether the store streams from where WAL was written instead of l, as far as that is known. The caller
// holds mu.
func (n *Node) brings(l loss.Loss) bool {
	member, ok := n.o.Store.Streams()
	return ok && n.bringsFrom(member, l)
}

// bringsFrom reports whether a member, or with "" a server, sends what was written instead of l. The caller holds mu.
func (n *Node) bringsFrom(member string, l loss.Loss) bool {
	return member == "" || n.statuses.heard[member].GivenUp.Brings(l)
}

// Parted returns why a session that was sent WAL of t up to at must get no more; nil: it may. That is so when this
// store still has the lost WAL and the session has none of it yet.
func (n *Node) Parted(t lsn.TimelineID, at lsn.LSN) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.losses.Parted(t, at, n.storeAt(n.o.Store.Positions())) {
		return nil
	}
	return loss.Over()
}

// GaveUp reports whether p, a position of this store's system, lies within WAL that was given up, and other WAL of the
// store's history is in its place. Any goroutine may ask.
func (n *Node) GaveUp(p lsn.Point) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.storeAt(n.o.Store.Positions())
	return slices.ContainsFunc(n.losses, func(l loss.Loss) bool { return l.Has(p) && at.Instead(l) })
}

// Beyond is a session that has WAL up to a position; see [Node.GiveUp].
type Beyond = loss.Reached

// GiveUp makes durable that WAL of a timeline beyond from, known up to to, is given up. Its primary has come back
// without that WAL, and the operator has accepted it. to is raised to the highest position that is known of anybody.
// Standbys that are known to have some of that WAL do not count from now on; attached are sessions of this proxy. With
// aside the store has some of it itself until the next start, and serves it to nobody who has none. An error says that
// the loss is not on the disk: in memory it is in force all the same, and those votes are gone. It blocks for the disk.
func (n *Node) GiveUp(system lsn.SystemID, t lsn.TimelineID, from, to lsn.LSN, attached []Beyond, aside bool) error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	known := append(n.reached(t), attached...)
	n.mu.Unlock()
	names, to := loss.Beyond(known, t, from, to)
	l := loss.Loss{ID: rand.Uint64() | 1, System: system, Timeline: t, From: from, To: to}
	n.mu.Lock()
	s, id := n.losses.GiveUp(l, names)
	if aside {
		n.aside = id
	}
	n.setLosses(s) // before it is durable: too early it takes votes away
	n.mu.Unlock()
	return n.writeLosses(s)
}

// reached lists sessions of all nodes and stores, each with the highest position that it is known to have had. The Name
// of a store is empty. Each entry has the timeline of its own; not only t's are listed. By t it is judged which
// sessions are members' stores. The caller holds mu.
func (n *Node) reached(t lsn.TimelineID) (all []Beyond) {
	now, p := time.Now(), n.o.Store.Positions()
	for _, v := range n.ledger.Views(now, p.System, t) {
		r := v.Report
		b := Beyond{Name: v.Name, Timeline: r.Timeline, LSN: max(r.Write, r.Flush, r.Apply)}
		if v.Kind == vote.Store || v.Standing == ledger.IsMember {
			b.Name = ""
		}
		all = append(all, b)
	}
	for _, a := range n.statuses.heard {
		all = append(all, Beyond{Timeline: a.Timeline, LSN: max(a.Received, a.Promised, a.Covered, a.had)})
		for _, s := range a.Standbys {
			all = append(all, Beyond{Name: s.Name, Timeline: s.Timeline, LSN: max(s.Write, s.Flush, s.Apply)})
		}
	}
	return append(all, Beyond{Timeline: p.Timeline, LSN: max(p.Received, p.Owed)})
}

// AsksFirst reports whether a session of a standby is to say what it has before it gets WAL, see [Node.Judge]. Any
// goroutine may ask.
func (n *Node) AsksFirst(who loss.Who) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.o.Store.Positions()
	return p.owing() || n.losses.Asks(who, n.storeAt(p))
}

// Judge decides by the first report of a session, on timeline t and before it got any WAL, whether it may get some. An
// error, in PostgreSQL's words, is the reason against it: WAL was given up that the standby may still have, or this
// proxy. Or this proxy owes WAL that the standby has. instead asks the caller to call [Node.Left] when the session
// ends. It may wait for the disk.
func (n *Node) Judge(who loss.Who, t lsn.TimelineID, said lsn.Progress) (instead bool, err error) {
	j := n.judge(who, said)
	if j.Refused != nil { // what it has says nothing of what the primary must have
		return false, j.Refused.Refusal(j.Here, who.Name, said)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.judgeOwing(who.Name, t, said); err != nil {
		return false, err
	}
	return j.Instead, nil
}

func (n *Node) judge(who loss.Who, said lsn.Progress) loss.Judgement {
	n.mu.Lock()
	f := loss.First{Progress: said, Voter: n.ledger.Named(who.Name)}
	x := n.losses.Judge(who, f, n.storeAt(n.o.Store.Positions()), n.others())
	for _, l := range x.News {
		n.mu.After(func() {
			n.log.Warn("a standby has WAL that was given up: it gets none and does not count until it is made anew",
				"standby", who.Name, "has_lsn", max(said.Write, said.Flush, said.Apply), "timeline", l.Timeline,
				"from_lsn", l.From, "to_lsn", l.To)
		})
	}
	n.setLosses(x.Set)
	n.mu.Unlock()
	if err := n.saveLosses(); err != nil {
		n.log.Error("a standby may be asked again what it has", "standby", who.Name, "err", err)
	}
	return x
}

// Left notes the end of a session for which [Node.Judge] returned instead: it was served the WAL that was written in
// the place of the lost. at is the highest position of timeline t that its standby has reported. It does not wait for
// the disk.
func (n *Node) Left(who loss.Who, t lsn.TimelineID, at lsn.LSN) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.losses.Left(who, t, at, n.storeAt(n.o.Store.Positions()))
	if len(s) > 0 {
		n.setLosses(s)
	}
}

// hearLosses merges a member's losses: WAL that was given up. The caller holds mu; it is made durable at the next look,
// and the member says it again after a crash.
func (n *Node) hearLosses(member string, said loss.Set) {
	p := n.o.Store.Positions()
	other := func(l loss.Loss) bool { return p.System != 0 && l.System != p.System }
	said = slices.DeleteFunc(slices.Clone(said), other)
	if s, news := n.losses.Hear(member, said); news {
		n.setLosses(s)
		if n.o.LossHeard != nil {
			n.mu.After(n.o.LossHeard)
		}
	}
}
