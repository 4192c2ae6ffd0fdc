package cluster

import (
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// shown is the highest position that a standby has shown while this node's store owed WAL that may have been reported
// (ruling R42). The bound of the debt is no evidence against a primary, and this is. Guarded by Node.mu.
type shown struct {
	lsn.Point
	received lsn.LSN // by the standby: a record need not end there
}

// owing reports whether the store owes WAL for having been reported, and nobody has said yet how much.
func (p Positions) owing() bool { return p.Bound > p.Flushed }

// judgeOwing decides by the first report of a session, on timeline t, whether it may get WAL while the store owes some.
// One that has more than the store waits until the primary has said where it is. What it has counts against a primary
// that has less. The caller holds mu.
func (n *Node) judgeOwing(t lsn.TimelineID, said lsn.Progress) error {
	p := n.o.Store.Positions()
	if !p.owing() || t != p.Timeline || max(said.Write, said.Flush, said.Apply) <= p.Received {
		return nil
	}
	at := lsn.Point{System: p.System, Timeline: t, LSN: said.Apply}
	if n.shown.System != at.System || n.shown.Timeline != t {
		n.shown = shown{Point: at}
	}
	n.shown.LSN = max(n.shown.LSN, said.Apply)
	n.shown.received = max(n.shown.received, said.Flush)
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("The machine of this proxy has lost WAL that may have been reported, and the standby has some of " +
			"it: it is served once the primary has said where it is.")
}

// known returns the positions that standbys have shown, and that the store, which is at p, lacks.
func (s shown) known(p Positions) (all []knownwal.Known) {
	if s.System != p.System || s.Timeline != p.Timeline {
		return nil
	}
	if s.LSN > p.Received {
		all = append(all, knownwal.Known{Point: s.Point, Acked: true, Complete: true})
	}
	if s.received > max(p.Received, s.LSN) {
		at := s.Point
		at.LSN = s.received
		all = append(all, knownwal.Known{Point: at, Acked: true})
	}
	return all
}
