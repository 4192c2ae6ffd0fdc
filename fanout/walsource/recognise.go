package walsource

import (
	"context"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errUntold: whether a primary has lost WAL could not be found out this time.
type errUntold struct{ error }

func (e errUntold) Unwrap() error { return e.error }

// recognise looks whether a primary has WAL that this store had and has no more, where no bytes can be compared. An
// emptied store knows it by the file promised, and one that owes WAL by its mark. A primary without it has lost WAL,
// and has written at least as much other WAL before it was first seen (ruling R32). That is remembered, as any loss.
// One that has it is not refused for what was found at its address before: another volume may be mounted there.
//
// An emptied store looks at whoever sends WAL: a member, a proxy or a standby may follow a primary that lost it.
//
// It reads the WAL of the primary from the beginning of a segment. A primary that has removed that segment cannot be
// told from another, and is followed.
func (r *Supply) recognise(ctx context.Context, s Conn, srv *server, have walstore.Positions) error {
	p, system, to := r.had(have)
	r.recognised = false
	switch {
	case p == lsn.Print{}, r.obeyed != nil:
		return nil
	case system != srv.system, !srv.history.Contains(p.Timeline), lacksPoint(*srv, p):
		return nil // judged by system, history and position
	case have.Timeline != 0 && (srv.sendsOthers() || r.member != ""):
		return nil // what comes is held back, and compared then
	case r.lookedAt(*srv, p) && srv.known.lack(*srv).reaches(to):
		return nil // it is refused, and the operator may accept that
	}
	r.log.Info("looking whether the primary has WAL that this proxy had and has no more", "host", srv.endpoint,
		"from_lsn", srv.seg.Floor(p.LSN-1), "to_lsn", p.LSN)
	sum, err := hashOf(ctx, s, *srv, p)
	switch {
	case pgerror.HasCode(err, pgerror.UndefinedFile):
		r.log.Warn("the primary is followed without a look whether it has lost WAL: what this proxy had "+
			"of it, and has no more, is removed there", "host", srv.endpoint, "lsn", p.LSN)
		return nil
	case err != nil:
		return errUntold{fmt.Errorf("compare the primary with what this proxy had: %w", err)}
	}
	lack := &LackError{System: srv.system, Timeline: srv.timeline, To: to, Of: p.Timeline}
	lack.Lost = lack.Of == lack.Timeline
	if r.recognised = sum == p.Sum; r.recognised {
		r.pardon(*srv, lsn.Point{System: system, Timeline: p.Timeline, LSN: to})
	} else {
		r.differs(*srv, p, lack)
	}
	r.remember(&srv.known, p)
	return nil
}

// lacksPoint reports whether srv's history and position say that it has no WAL at p.
func lacksPoint(srv server, p lsn.Print) bool {
	_, lacks := srv.history.Lack(srv.xlogpos, lsn.Point{System: srv.system, Timeline: p.Timeline, LSN: p.LSN})
	return lacks
}

// hashOf returns the hash of the WAL of srv up to p, as [walstore.Store.HashAt] has it. It takes as long as WAL comes:
// a segment may be large and the link slow.
func hashOf(ctx context.Context, s Conn, srv server, p lsn.Print) (uint64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(partingPatience, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	begin := srv.seg.Floor(p.LSN - 1)
	id := walstore.Identity{System: srv.system, SegSize: srv.seg, ServerMajor: srv.version / 10000}
	h := walstore.NewSentHash(id, begin)
	err := look(ctx, s, p.Timeline, begin, p.LSN, func(_ lsn.LSN, sent []byte) (bool, error) {
		silence.Reset(partingPatience)
		h.Add(sent)
		return true, nil
	})
	return h.Sum(), err
}

// had names WAL of a system that the store had and has no more, and returns up to where it is lost if a primary has
// other WAL. An emptied store may have promised more than is named. Zero: there is none, or nothing is known of it.
func (r *Supply) had(have walstore.Positions) (p lsn.Print, system lsn.SystemID, to lsn.LSN) {
	if have.Timeline == 0 {
		was := r.o.Store.Promised()
		if to = was.Print.LSN; was.At != walstore.PromisedAll {
			to = max(to, was.At)
		}
		return was.Print, was.System, to
	}
	owed, owes := r.o.Store.Repairing()
	if !owes || owed.Print.LSN <= have.Received || owed.Print.Timeline != have.Timeline {
		return lsn.Print{}, 0, lsn.Invalid
	}
	id, _ := r.o.Store.Identity()
	return owed.Print, id.System, owed.Print.LSN
}
