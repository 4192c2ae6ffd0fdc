package walsource

import (
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// forkBelow returns the fork at which srv's history leaves the stored timeline, if WAL is stored beyond it; else
// Invalid.
func forkBelow(have walstore.Positions, srv server) lsn.LSN {
	fork, _, ok := srv.history.SwitchPoint(have.Timeline)
	if ok && srv.timeline != have.Timeline && fork < have.Received {
		return fork
	}
	return lsn.Invalid
}

// heed holds back what lies beyond the fork of a history from the moment that it is known (ruling R3): whoever got it
// would have WAL that the new timeline lacks. Then either the store follows, or the server is refused, or another one
// is chosen, and what need not be held back is let go.
func (r *Supply) heed(srv server) (fork lsn.LSN) {
	fork = forkBelow(r.o.Store.Positions(), srv)
	r.o.Store.HoldBack(fork)
	return fork
}
