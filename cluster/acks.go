package cluster

import (
	"math/rand/v2"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
)

// Attach begins a session of a standby that this node serves and returns its incarnation, never used before. name is
// its application_name; several sessions may have it. 0: there are too many sessions, and this one has no vote.
func (n *Node) Attach(name string) uint64 {
	id := rand.Uint64() | 1
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.ledger.Attach(time.Now(), id, vote.Standby, name, n.o.Store.Positions().System)
	if err != nil {
		if !n.full {
			n.mu.After(func() { n.log.Warn("a standby has no vote", "application_name", name, "err", err) })
		}
		n.full = true
		return 0
	}
	n.touch()
	return id
}

// Ack takes a report of this proxy's session. Received is filled in here.
func (n *Node) Ack(a ledger.Ack) {
	// The position is read after the session's: what was sent then is received now.
	p := n.o.Store.Positions()
	a.Received = a.Sent
	if p.Timeline == a.Timeline {
		a.Received = p.Received
	}
	if report := n.ack(p, a); report != nil {
		report()
	}
}

// ack takes the report, and returns what its goroutine has to do next; nil: nothing.
func (n *Node) ack(p Positions, a ledger.Ack) (next func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heedFence(p)
	if p.Timeline == a.Timeline {
		a.Bytes = n.nameBytes(p)
	}
	r, news := n.ledger.Ack(time.Now(), a)
	if !news {
		return nil
	}
	n.publishReport(r)
	switch {
	case n.passesOver(p, a.Incarnation):
	case n.report == nil:
		n.moved()
	case n.matters():
		n.noteNews()
		return n.report
	}
	return nil
}

// OnReport has report called after the report of a standby that this node serves, on the goroutine that brought it,
// when Reportable may have changed by it. Changed gets no token for that. report must not wait; it may ask Reportable.
func (n *Node) OnReport(report func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.report = report
}

// doubted notes that a session here is asked whether its standby has left it.
func (n *Node) doubted(incarnation uint64, since time.Time, silent vote.Silence) {
	silent.Since = silent.Since.UTC().Truncate(time.Microsecond)
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, news := n.ledger.Doubt(incarnation, since, silent); news {
		n.publishReport(r)
		n.moved()
	}
}

// Gone ends a session.
func (n *Node) Gone(incarnation uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ledger.End(incarnation)
	n.full = false
	if n.o.Outbox != nil {
		n.o.Outbox.Delete(link.ID{Kind: itemReport, Num: incarnation})
	}
	n.touch()
}
