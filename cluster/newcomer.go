package cluster

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/loss"
)

// othersMost bounds how long a new node waits for each further member once one has said which WAL was given up. A
// member that is up has been connected, and has said it, within that time. One that is down may be gone for good.
// There is no such bound for the first: an operator forgets members that are gone.
const othersMost = 10 * time.Second

// helloWithin is the time in which members that are up say it: before that nothing is wrong, and nothing is logged.
const helloWithin = 5 * time.Second

// newcomer says whether a node that may have forgotten which WAL was given up may serve standbys (ADR 0082). Guarded by
// Node.mu.
type newcomer struct {
	waits bool
	since time.Time // when the first member had said it; zero: none has
	told  bool      // the log was
}

// unheard returns the members that have yet to say which WAL was given up before this node serves a standby; nil: it
// waits for none of them. The caller holds mu.
func (n *Node) unheard(now time.Time) (members []string) {
	if first := n.newcomer.since; !first.IsZero() && now.Sub(first) >= othersMost {
		return nil
	}
	for _, m := range n.others() {
		if !n.hasSaidLosses(m) {
			members = append(members, m)
		}
	}
	return members
}

// hasSaidLosses reports whether a member has said since this node's start what it knows of its name, and which WAL was
// given up. The status of a member of v0.1.0 names none, as it can know of none. The caller holds mu.
func (n *Node) hasSaidLosses(member string) bool {
	_, answered := n.lives.answers[member]
	_, said := n.statuses.heard[member]
	return answered && said
}

// takesLosses lets a new node serve standbys once the others have said which WAL was given up, and that is durable. It
// blocks for the disk. The caller does not hold mu.
func (n *Node) takesLosses(now time.Time) {
	n.mu.Lock()
	if !n.newcomer.waits {
		n.mu.Unlock()
		return
	}
	n.adoptLosses()
	if n.newcomer.since.IsZero() && slices.ContainsFunc(n.others(), n.hasSaidLosses) {
		n.newcomer.since = now
	}
	left, at := n.unheard(now), n.storeAt(n.o.Store.Positions())
	// What a store has that has forgotten everything is the lost WAL or what was written instead. That is known while
	// it streams.
	lost := slices.ContainsFunc(n.losses, func(l loss.Loss) bool { return at.Lost(l) })
	ready := len(left) == 0 && !n.unproven && !lost
	if !ready && !n.newcomer.told && now.Sub(n.began) >= helloWithin {
		n.newcomer.told = true
		n.mu.After(func() {
			n.log.Warn("data_dir is new: no standby gets WAL before another member has said which WAL was given up",
				"waits_for", left)
		})
	}
	n.mu.Unlock()
	if !ready {
		return
	}
	err := n.saveLosses()
	if err == nil && n.o.Informed != nil {
		err = n.o.Informed()
	}
	if err != nil {
		n.log.Error("cannot remember which WAL was given up, retrying", "err", err)
		return
	}
	n.mu.Lock()
	n.newcomer.waits = false
	n.mu.Unlock()
	n.log.Info("data_dir is new, and it is known which WAL was given up: standbys get WAL")
}

// HoldsBack returns why no standby is served from this node's store, in PostgreSQL's words; nil: they are. Any
// goroutine may ask.
func (n *Node) HoldsBack() error {
	members, waits := n.Newcomer()
	return loss.HoldBack(waits, members)
}

// Newcomer reports whether this node may have forgotten which WAL was given up: then no standby may be served from its
// store. members have yet to say it. Any goroutine may ask.
func (n *Node) Newcomer() (members []string, waits bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.newcomer.waits {
		return nil, false
	}
	return n.unheard(time.Now()), true
}
