package walsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// restorable returns the end of the WAL that may come from an archive where srv has removed it, as a standby of srv
// would restore it. That WAL is whole segments of the common history, to which srv no longer writes.
func restorable(have walstore.Positions, srv server) lsn.LSN {
	until := srv.seg.Floor(srv.xlogpos)
	if fork, _, ok := srv.history.SwitchPoint(have.Timeline); ok {
		until = min(until, srv.seg.Floor(fork))
	}
	return until
}

// restore has the WAL that the upstream lacks brought from the archive after cause ended a connection, and
// tells whether any came. The next connection begins behind it: what the upstream has is streamed.
func (r *Supply) restore(ctx context.Context, cause error) (bool, error) {
	if r.gone == lsn.Invalid {
		return false, cause
	}
	from := r.o.Store.Positions().Received
	n, err := r.o.Restore(ctx, r.gone)
	switch to := r.o.Store.Positions().Received; {
	case errors.Is(err, walstore.ErrFailed) || errors.Is(err, walstore.ErrClosed):
		return false, err
	case n > 0:
		r.log.Warn("WAL that the upstream has removed was restored from the archive",
			"from_lsn", from, "to_lsn", to, "segments", n)
		return true, nil
	case err != nil:
		if p := (errPermanent{}); errors.As(cause, &p) {
			cause = p.error // it may be in the archive a moment later: PostgreSQL asks every 5 s
		}
		return false, fmt.Errorf("%w; restore_command: %w", cause, err)
	}
	return false, cause
}
