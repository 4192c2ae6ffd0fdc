package walsource

import (
	"context"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errUntold: whether a primary has lost WAL could not be found out this time.
type errUntold struct{ error }

func (e errUntold) Unwrap() error { return e.error }

// recognise refuses a primary whose WAL has another hash than an emptied store had of it, by the file promised. Such a
// primary has lost WAL, and has written at least as much other WAL before it was first seen (ruling R32). recognise
// reads the WAL of the primary from the beginning of a segment. A primary that has removed that segment cannot be told
// from another, and is followed.
func (r *Supply) recognise(ctx context.Context, s Conn, srv server, have walstore.Positions) error {
	was := r.o.Store.Promised()
	p := was.Print
	switch {
	case have.Timeline != 0, p == walstore.Print{}, r.obeyed != nil:
		return nil
	case was.System != srv.system, p.Timeline != srv.timeline, p.LSN > srv.xlogpos:
		return nil // judged by system, history and position
	case srv.inRecovery(), srv.virtual, r.member != "":
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, partingPatience)
	defer cancel()
	h := walstore.NewHash()
	err := look(ctx, s, p.Timeline, srv.seg.Floor(p.LSN-1), p.LSN, func(_ lsn.LSN, sent []byte) (bool, error) {
		_, err := h.Write(sent)
		return true, err
	})
	switch {
	case pgerror.HasCode(err, pgerror.UndefinedFile):
		r.log.Warn("the primary is followed without a look whether it has lost WAL: what the emptied store had "+
			"of it is removed there", "host", srv.endpoint, "lsn", p.LSN)
		return nil
	case err != nil:
		return errUntold{fmt.Errorf("compare the primary with what the emptied store had: %w", err)}
	case h.Sum64() == p.Sum:
		return nil
	}
	lack := &LackError{System: srv.system, Timeline: srv.timeline, To: p.LSN, Of: p.Timeline, Lost: true}
	if was.At != walstore.PromisedAll {
		lack.To = max(lack.To, was.At)
	}
	if r.accepted(lack) {
		r.obeyed, r.heard, r.behind = lack, srv.known.heardOf(lack), srv.xlogpos
		return nil
	}
	return lack.refusal()
}
