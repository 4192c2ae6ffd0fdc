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

// heed holds back WAL beyond the fork of a history from the moment that the history is known (ruling R3). A standby
// that got it would have WAL that the new timeline lacks. Later the store follows, or the server is refused, or another
// one is chosen; then WAL that need not be held back is released.
func (r *Supply) heed(srv server) (fork lsn.LSN) {
	fork = forkBelow(r.o.Store.Positions(), srv)
	r.o.Store.HoldBack(fork)
	return fork
}
