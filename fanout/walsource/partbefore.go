package walsource

import (
	"context"
	"errors"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// partBefore looks for the beginning of the WAL that srv lost before it was promoted, once the operator has accepted
// that. It is the end of the last record that srv and the store both have, of the timeline that the store is on. See
// part.
func (r *Supply) partBefore(ctx context.Context, s Conn, srv server, have walstore.Positions) {
	lost := srv.known.differed(srv)
	if lost == nil || lost.Of != have.Timeline || lost.Of == srv.timeline || srv.known.unlike[srv.endpoint].cut ||
		!r.accepted(srv.known.lack(srv)) {
		return
	}
	fork, _, ancestor := srv.history.SwitchPoint(lost.Of)
	past, ok := r.storedHistory(lost.Of)
	if !ancestor || !ok && lost.Of > 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, partingPatience)
	defer cancel()
	before := srv
	before.timeline, before.xlogpos, before.history = lost.Of, min(srv.xlogpos, fork), past
	if lost.Of == 1 {
		before.history = lsn.History{Timeline: 1}
	}
	at, err := r.compareBack(ctx, s, before, srv.seg)
	if err == nil {
		r.lostSince = at
		return
	}
	r.log.Warn("where the primary's WAL and the stored WAL part is not known", "host", srv.endpoint, "err", err)
	if errors.As(err, new(errCut)) {
		r.changeUnlike(func(all map[string]unlike) {
			u := all[srv.endpoint]
			u.cut = true
			all[srv.endpoint] = u
		})
	}
}
