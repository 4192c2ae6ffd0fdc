package walsource

import (
	"context"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// vouch finds out whether a primary has all known WAL, before clients are sent there while WAL comes from a member. The
// primary at e writes timeline t of system. It is asked by SQL, which takes no walsender, and twice before it is
// refused, as the one that streams is (ruling R32).
func (r *Supply) vouch(ctx context.Context, e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID) error {
	ctx, cancel := context.WithTimeout(ctx, interviewPatience)
	defer cancel()
	known := r.knowledge()
	s, err := r.o.Upstream.ConnectTo(ctx, e, map[string]string{"application_name": r.o.Name})
	if err != nil {
		return fmt.Errorf("ask the primary where it is: %w", err)
	}
	defer s.Close()
	var lack *LackError
	var srv server
	for range 2 {
		res, err := s.Query(ctx, "SELECT pg_catalog.pg_current_wal_flush_lsn()")
		if err != nil {
			return fmt.Errorf("ask the primary where it is: %w", err)
		}
		if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) != 1 {
			return fmt.Errorf("ask the primary where it is: %w", walreceiver.ErrProtocol)
		}
		srv = server{system: system, timeline: t, history: lsn.History{Timeline: t}, endpoint: e.String(), known: known}
		if srv.xlogpos, err = lsn.Parse(string(res[0].Rows[0][0])); err != nil {
			return fmt.Errorf("ask the primary where it is: %w", err)
		}
		if lack = known.lack(srv); lack == nil || !lack.Lost {
			r.vouched(t, nil)
			return nil
		}
	}
	r.part(ctx, nil, e, &srv, lack)
	if lack = srv.known.lack(srv); r.accepted(lack) {
		return nil
	}
	r.vouched(t, lack)
	return lack.refusal(r.aside.Load())
}

// vouched publishes the WAL that a primary lacks, for which no clients are sent there; nil: it lacks none.
func (r *Supply) vouched(t lsn.TimelineID, lack *LackError) {
	r.o.Accept.Waits(t, lack)
	r.locked(func() { r.lacks = lack })
}
