package walsource

import (
	"context"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// vouch asks the primary at e for its position, and returns an error if it lacks known WAL that the operator has not
// given up. Call it while WAL comes from a member, before clients are sent to that primary. It writes timeline t of
// system. The question goes by SQL, which takes no walsender. Only two answers refuse it, as for the one that streams
// (ruling R32). An error also says that it could not be asked. It blocks for at most interviewPatience. end is the
// position of a primary that lacks nothing; Invalid: it lacks what was given up.
func (r *Supply) vouch(ctx context.Context, e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID,
) (end lsn.LSN, err error) {
	ctx, cancel := context.WithTimeout(ctx, interviewPatience)
	defer cancel()
	known := r.knowledge()
	s, err := r.o.Upstream.ConnectTo(ctx, e, map[string]string{"application_name": r.o.Name})
	if err != nil {
		return end, fmt.Errorf("ask the primary where it is: %w", err)
	}
	defer s.Close()
	var lack *LackError
	var srv server
	for range 2 {
		res, err := s.Query(ctx, "SELECT pg_catalog.pg_current_wal_flush_lsn()")
		if err != nil {
			return end, fmt.Errorf("ask the primary where it is: %w", err)
		}
		if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) != 1 {
			return end, fmt.Errorf("ask the primary where it is: %w", walreceiver.ErrProtocol)
		}
		srv = server{system: system, timeline: t, history: lsn.History{Timeline: t}, endpoint: e.String(), known: known}
		if srv.xlogpos, err = lsn.Parse(string(res[0].Rows[0][0])); err != nil {
			return end, fmt.Errorf("ask the primary where it is: %w", err)
		}
		if lack = known.lack(srv); lack == nil || !lack.Lost {
			r.vouched(t, nil)
			return srv.xlogpos, nil
		}
	}
	r.part(ctx, nil, e, &srv, lack)
	if lack = srv.known.lack(srv); r.accepted(lack) {
		return end, nil
	}
	r.vouched(t, lack)
	return end, lack.refusal(r.knowledge().words(lack))
}

// endPromise gives a promise an end that has none: the store was emptied amid reports, and began anew from a member.
// The primary had all that was reported until then, and end is a position of it since. The store has that again once it
// has flushed WAL of timeline t up to there.
func (r *Supply) endPromise(t lsn.TimelineID, end lsn.LSN) {
	have := r.o.Store.Positions()
	if end != lsn.Invalid && have.Timeline == t && have.Flushed >= end && r.rcv.Promised() == walstore.PromisedAll {
		r.rcv.EndPromise()
	}
}

// primarySaid tells the store where the primary of timeline t was when it was asked, which lacks nothing. No more was
// reported, so no more is owed (ruling R42). The WAL of a member does not say that. Where the primary, at e, may have
// lost WAL together with this proxy, standbys are asked first.
func (r *Supply) primarySaid(ctx context.Context, e upstream.Endpoint, t lsn.TimelineID, end lsn.LSN) error {
	if end == lsn.Invalid || r.o.Store.Positions().Timeline != t {
		return nil
	}
	if settled, err := r.settledAt(ctx, e, t, end); !settled {
		return err // the primary is asked again
	}
	return r.bounded(end)
}

// vouched publishes the WAL that a primary lacks, for which no clients are sent there; nil: it lacks none.
func (r *Supply) vouched(t lsn.TimelineID, lack *LackError) {
	var all []*LackError
	if lack != nil {
		all = []*LackError{lack}
	}
	r.o.Accept.Waits(t, all)
	r.locked(func() { r.lacks = all })
}
