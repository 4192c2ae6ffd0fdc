package realslot

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// ruleGatePatience bounds the time for which another member's stream may hold the rule gate although it covers less
// than ours. Votes reach one member a little earlier than another all the time. It is also the least time between two
// takings.
const ruleGatePatience = 10 * time.Second

// ruleGateMove names the next act of a proxy that does not use the rule gate.
type ruleGateMove uint8

const (
	ruleGateLeave ruleGateMove = iota // to who has it
	ruleGateDrop                      // it was invalidated, and so is made anew
	ruleGateTake                      // streaming begins anew, with it
)

// ruleGateWatch decides that. It is pure. The zero value has seen nothing.
type ruleGateWatch struct {
	wanted lsn.LSN   // covered here, and not yet at the rule gate, since
	since  time.Time // then
	taken  time.Time // when streaming was begun anew for it last
}

// ruleGateView holds the facts about the rule gate at one moment.
type ruleGateView struct {
	gate     ruleGateSlot
	used     bool    // by this proxy's stream
	pulls    bool    // no other member is to stream from this server
	covered  lsn.LSN // what this proxy would report of flush
	retained lsn.LSN // from where the server surely has WAL: a rule gate that is put below would be invalidated at once
	lost     bool    // it was invalidated on this server, and not used since
}

// step decides at one moment.
func (g *ruleGateWatch) step(now time.Time, v ruleGateView) ruleGateMove {
	behind := v.covered > v.gate.restart && v.gate.pid != 0
	if v.used || !behind || g.wanted == 0 || v.gate.restart >= g.wanted {
		g.wanted, g.since = v.covered, now
	}
	switch {
	case v.used || !v.gate.ours():
		return ruleGateLeave
	case v.gate.lost:
		return ruleGateDrop
	case !g.taken.IsZero() && now.Sub(g.taken) < ruleGatePatience:
		return ruleGateLeave
	case v.lost && (v.covered == lsn.Invalid || v.covered < v.retained):
		return ruleGateLeave // until the rule is satisfied
	case v.gate.pid != 0 && !v.pulls && (!behind || now.Sub(g.since) < ruleGatePatience):
		return ruleGateLeave
	}
	g.taken = now
	return ruleGateTake
}
