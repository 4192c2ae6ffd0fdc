package walsource

import (
	"context"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

const (
	// minVersion is the first server_version_num that reports in_hot_standby and is supported.
	minVersion = 140000
	// commandTimeout bounds each command, or batch of commands, before WAL flows: the server
	// answers from memory or from one small file.
	commandTimeout = 30 * time.Second
)

// errPermanent marks refusals that only an operator can lift.
type errPermanent struct{ error }

func (e errPermanent) Unwrap() error { return e.error }

// identify asks the server for its identity and its WAL, and compares them with the store. It stores the identity and
// the timeline histories, which must be there before WAL is.
func (r *Supply) identify(ctx context.Context, s Conn) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	srv := newServer(s)
	srv.known = r.knowledge()
	if err := r.askWhere(ctx, s, &srv, srv.known); err != nil {
		return srv, err
	}
	if err := readSettings(ctx, s, &srv); err != nil {
		return srv, err
	}
	r.rcv.Update(func(st *walreceiver.Status) {
		st.System, st.ServerVersionNum, st.ServerVersion = srv.system, srv.version, srv.settings["server_version"]
	})
	if srv.version < minVersion {
		return srv, errPermanent{
			fmt.Errorf("server version %d is not supported, PostgreSQL 14 is the oldest", srv.version),
		}
	}
	if have, ok := r.o.Store.Identity(); ok {
		if err := checkIdentity(have, srv); err != nil {
			return srv, errPermanent{err}
		}
	}
	// Only now: clients are answered by them, beside the WAL that is stored (ruling R43).
	if p := s.Parameters(); r.member == "" || toldByPrimary(p) {
		r.rcv.SetParameters(p)
		r.rcv.Update(func(st *walreceiver.Status) { st.Settings = srv.settings })
	}
	return srv, nil
}

// newServer describes the server of a connection as far as that needs no question.
func newServer(s Conn) server {
	return server{
		virtual:  s.Virtual(),
		endpoint: s.Endpoint().String(),
		settings: map[string]string{inHotStandby: s.Parameters()[inHotStandby]},
	}
}

// askWhere asks a server for its system, timeline and position. If the answer says that it has lost WAL, it asks once
// more: a primary is refused by two answers only.
func (r *Supply) askWhere(ctx context.Context, s Conn, srv *server, k knowledge) error {
	err := identifySystem(ctx, s, srv)
	if err == nil {
		r.saw(*srv)
		own := *srv
		own.history = lsn.History{Timeline: own.timeline} // what was lost is of its own timeline
		if e := k.lack(own); e != nil && e.Lost {
			err = identifySystem(ctx, s, srv)
		}
	}
	return err
}

func identifySystem(ctx context.Context, s Conn, srv *server) error {
	at, err := s.IdentifySystem(ctx)
	if err == nil {
		srv.system, srv.timeline, srv.xlogpos = at.System, at.Timeline, at.XLogPos
	}
	return err
}

// adopt binds an empty store to the server, durably, once everything else about it has been accepted. A store that is
// bound already is compared; errPermanent: it is another server's.
func (r *Supply) adopt(srv server) error {
	id := walstore.Identity{System: srv.system, SegSize: srv.seg, ServerMajor: srv.version / 10000}
	if err := r.o.Store.Adopt(id); err != nil {
		return errPermanent{err}
	}
	return nil
}

// ownHistory fetches the history of the server's timeline and reads it. It is not stored yet: see startStream.
func (r *Supply) ownHistory(ctx context.Context, s Conn, srv *server) (err error) {
	srv.history, r.own = lsn.History{Timeline: srv.timeline}, nil
	if srv.timeline > maxTimeline {
		return fmt.Errorf("%w: timeline %s is not believable", walreceiver.ErrProtocol, srv.timeline)
	}
	if srv.timeline == 1 {
		return nil
	}
	if r.own, err = fetchHistory(ctx, s, srv.timeline); err != nil {
		return err
	}
	srv.history, err = r.acceptHistory(srv.timeline, r.own)
	return err
}

// mirrorHistories fetches the history files up to that of timeline t that the store lacks, and keeps them durably. One
// that the server lacks, too, is the beginning of its own. A timeline that is none of its ancestors is left out.
func (r *Supply) mirrorHistories(ctx context.Context, s Conn, srv server, t lsn.TimelineID) error {
	stored := func(t lsn.TimelineID) bool {
		_, err := r.o.Store.HistoryFile(t)
		return err == nil
	}
	for _, t := range timelinesToFetch(min(t, srv.timeline-1), stored) {
		content, err := fetchHistory(ctx, s, t)
		// PostgreSQL says the first, a member whose store lacks it the other.
		if pgerror.HasCode(err, pgerror.UndefinedFile) || pgerror.HasCode(err, pgerror.IOError) {
			var ancestor bool
			if content, ancestor = lsn.AncestorFile(t, r.own); !ancestor {
				continue
			}
			err = nil
		}
		if err != nil {
			return err
		}
		if err := r.o.Store.PutHistory(t, content); err != nil {
			return fmt.Errorf("store history of timeline %s: %w", t, err)
		}
	}
	return nil
}

// acceptHistory reads the server's own history. It fails if the store has another one of that number, or either cannot
// be read.
func (r *Supply) acceptHistory(t lsn.TimelineID, content []byte) (lsn.History, error) {
	h, err := lsn.ParseHistory(t, content)
	if err != nil {
		return h, fmt.Errorf("history of timeline %s: %w", t, err)
	}
	old, err := r.o.Store.HistoryFile(t)
	if err != nil {
		return h, nil // not stored yet
	}
	have, err := lsn.ParseHistory(t, old)
	if err != nil {
		return h, fmt.Errorf("stored history of timeline %s: %w", t, err)
	}
	if err := sameWay(have, h); err != nil {
		return h, errPermanent{err}
	}
	return h, nil
}

func fetchHistory(ctx context.Context, s Conn, t lsn.TimelineID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return s.TimelineHistory(ctx, t)
}
