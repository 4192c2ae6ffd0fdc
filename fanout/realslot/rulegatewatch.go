package realslot

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// gatePatience bounds the time for which another member's stream may hold the gate although it covers less than ours.
// Votes reach one member a little earlier than another all the time. It is also the least time between two takings.
const gatePatience = 10 * time.Second

// gateMove names what a proxy that does not use the gate does about it.
type gateMove uint8

const (
	gateLeave gateMove = iota // to who has it
	gateDrop                  // it was invalidated, and so is made anew
	gateTake                  // streaming begins anew, with it
)

// gateWatch decides that. It is pure. The zero value has seen nothing.
type gateWatch struct {
	mark  lsn.LSN   // covered here, and not yet at the gate, since
	since time.Time // then
	taken time.Time // when streaming was begun anew for it last
}

// gateView holds the facts about the gate at one moment.
type gateView struct {
	gate     gateSlot
	used     bool    // by this proxy's stream
	pulls    bool    // no other member is to stream from this server
	covered  lsn.LSN // what this proxy would report of flush
	retained lsn.LSN // from where the server surely has WAL: a gate that is put below would be invalidated at once
	lost     bool    // it was invalidated on this server, and not used since
}

// step decides at one moment.
func (g *gateWatch) step(now time.Time, v gateView) gateMove {
	behind := v.covered > v.gate.restart && v.gate.pid != 0
	if v.used || !behind || g.mark == 0 || v.gate.restart >= g.mark {
		g.mark, g.since = v.covered, now
	}
	switch {
	case v.used || !v.gate.ours():
		return gateLeave
	case v.gate.lost:
		return gateDrop
	case !g.taken.IsZero() && now.Sub(g.taken) < gatePatience:
		return gateLeave
	case v.lost && (v.covered == lsn.Invalid || v.covered < v.retained):
		return gateLeave // until the rule is satisfied
	case v.gate.pid != 0 && !v.pulls && (!behind || now.Sub(g.since) < gatePatience):
		return gateLeave
	}
	g.taken = now
	return gateTake
}
