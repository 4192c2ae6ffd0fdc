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

// recognise refuses a primary whose WAL has another hash than this store had of it, where no bytes can be compared. An
// emptied store knows it by the file promised, and one that owes WAL by its mark. Such a primary has lost WAL, and
// has written at least as much other WAL before it was first seen (ruling R32). recognise reads the WAL of the primary
// from the beginning of a segment. A primary that has removed that segment cannot be told from another, and is
// followed.
func (r *Supply) recognise(ctx context.Context, s Conn, srv server, have walstore.Positions) error {
	p, system, to := r.had(have)
	r.recognised = false
	switch {
	case p == walstore.Print{}, r.obeyed != nil:
		return nil
	case system != srv.system, p.Timeline != srv.timeline, p.LSN > srv.xlogpos:
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
		r.log.Warn("the primary is followed without a look whether it has lost WAL: what this proxy had "+
			"of it, and has no more, is removed there", "host", srv.endpoint, "lsn", p.LSN)
		return nil
	case err != nil:
		return errUntold{fmt.Errorf("compare the primary with what this proxy had: %w", err)}
	case h.Sum64() == p.Sum:
		r.recognised = true
		return nil
	}
	lack := &LackError{System: srv.system, Timeline: srv.timeline, To: to, Of: p.Timeline, Lost: true}
	if r.accepted(lack) {
		r.obeyed, r.heard, r.behind = lack, srv.known.heardOf(lack), srv.xlogpos
		return nil
	}
	return lack.refusal()
}

// had names WAL of a system that the store had and has no more, and returns how far it went. Zero: there is none, or
// nothing is known of it.
func (r *Supply) had(have walstore.Positions) (p walstore.Print, system lsn.SystemID, to lsn.LSN) {
	if have.Timeline == 0 {
		was := r.o.Store.Promised()
		if to = was.Print.LSN; was.At != walstore.PromisedAll {
			to = max(to, was.At)
		}
		return was.Print, was.System, to
	}
	owed, owes := r.o.Store.Repairing()
	if !owes || owed.Print.LSN <= have.Received || owed.Print.Timeline != have.Timeline {
		return walstore.Print{}, 0, lsn.Invalid
	}
	id, _ := r.o.Store.Identity()
	return owed.Print, id.System, owed.Print.LSN
}
