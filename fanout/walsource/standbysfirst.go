package walsource

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/knownwal"
)

const (
	// standbysPatience bounds how long a primary that went down is not followed because standbys are asked first. A
	// standby tries every wal_retrieve_retry_interval, 5 s by default, and may have to start first.
	standbysPatience = 30 * time.Second
	// standbysDelay lies between two looks whether they have come: that costs nothing.
	standbysDelay = 50 * time.Millisecond
)

// standbysFirst blocks until it is known that the primary srv did not lose WAL together with this proxy. That matters
// where the store owes WAL of srv's timeline for having been reported (ruling R42). A primary that was up all the time
// has all that it had: it is followed at once. One that went down since may have come back with less. Its position
// says nothing, as it writes on. What it had then may be known to standbys alone:
//
//	 ├── stored ──┤                   ├─ the primary's present life ──▶
//	──────────────┼───────────────────┼─────────────────┼──────────────
//	              └── owed ───────────┼─────────────────┘ a standby that has this shows that the primary lost it
//	                                  └ Restart
//
// It ends when voters have come without whom nothing beyond was covered, or after standbysPatience. The rest then
// counts as lost: a standby that comes later with it gets nothing. An error is the reason not to follow srv.
func (r *Supply) standbysFirst(ctx context.Context, s Conn, srv *server) error {
	for first := true; ; first = false {
		settled, err := r.settled(ctx, s, srv, first)
		if settled || err != nil {
			return err
		}
		srv.known.show(r.knowledge())
		if err := r.judge(r.o.Store.Positions(), *srv); err != nil || r.obeyed != nil {
			return err
		}
		if err := deadline.Sleep(ctx, standbysDelay); err != nil {
			return errUntold{err}
		}
	}
}

// show replaces the positions that standbys have shown by those of now, a newer knowledge. The primary had that WAL
// before it went down, whenever a standby says so.
func (k *knowledge) show(now knowledge) {
	before := *k
	k.all, k.said = nil, nil
	for i, x := range before.all {
		if !x.Shown {
			k.all, k.said = append(k.all, x), append(k.said, before.said[i])
		}
	}
	for i, x := range now.all {
		if x.Shown && !now.explained(x) {
			k.all, k.said = append(k.all, x), append(k.said, now.said[i])
		}
	}
}

// explained reports whether a member has WAL as far as a standby has shown: it may have given it to the standby, and
// compares its bytes itself.
func (k knowledge) explained(shown knownwal.Known) bool {
	return slices.ContainsFunc(k.all, func(x knownwal.Known) bool {
		return x.By != "" && !x.Lost && x.Complete && x.Timeline == shown.Timeline && x.LSN >= shown.LSN
	})
}

// settled reports whether standbys need not be asked, or no longer, see standbysFirst. With look it reads the WAL of
// srv by s; nil: by a session of its own. It sets srv.restart where the primary went down.
func (r *Supply) settled(ctx context.Context, s Conn, srv *server, look bool) (bool, error) {
	owed, owes := r.o.Store.Repairing()
	have := r.o.Store.Positions()
	if !owes || owed.Bound <= have.Flushed || have.Timeline != srv.timeline || r.obeyed != nil {
		r.locked(func() { r.standbysSince = time.Time{} })
		return true, nil
	}
	if look {
		at, down, err := r.restartOf(ctx, s, *srv, have.Complete, min(owed.Bound, srv.xlogpos))
		if err != nil {
			return false, errUntold{fmt.Errorf("look whether the primary went down: %w", err)}
		}
		if !down {
			return true, nil
		}
		srv.restart = &at
	}
	if r.o.Unshown(*srv.restart) {
		r.log.Info("no voter has WAL that the primary could have lost together with this proxy", "host", srv.endpoint,
			"restart_lsn", srv.restart.LSN)
		return true, nil
	}
	switch since := r.standbysAsked(time.Now()); {
	case since == 0:
		r.log.Warn("the primary went down, and may have lost WAL together with this proxy: standbys are asked first "+
			"what they have", "host", srv.endpoint, "from_lsn", srv.restart.LSN, "to_lsn", owed.Bound,
			"for", standbysPatience)
		return false, nil
	case since < standbysPatience:
		return false, nil
	}
	e := &LackError{
		System: srv.system, Timeline: srv.timeline, From: srv.restart.LSN, To: owed.Bound, Of: srv.timeline, Lost: true,
	}
	if err := r.o.GiveUp(e, false); err != nil {
		return false, errUntold{err}
	}
	r.log.Warn("standbys are not waited for any longer: WAL that the primary may have lost together with this proxy "+
		"is taken for lost, and a standby that has it gets nothing", "host", srv.endpoint, "from_lsn", e.From,
		"to_lsn", e.To)
	return true, nil
}

// standbysAsked returns for how long standbys have been asked, over connections. It is 0 when that begins.
func (r *Supply) standbysAsked(now time.Time) (d time.Duration) {
	r.locked(func() {
		if r.standbysSince.IsZero() {
			r.standbysSince = now
		}
		d = now.Sub(r.standbysSince)
	})
	return d
}

// restartOf reads the WAL of the primary srv from from to to, by s or by a session of its own. It returns where the
// primary went down first; false: nowhere. WAL that is removed there says nothing.
func (r *Supply) restartOf(ctx context.Context, s Conn, srv server, from, to lsn.LSN) (
	at knownwal.Restart, down bool, err error) {
	at.Point = lsn.Point{System: srv.system, Timeline: srv.timeline, LSN: from}
	if to <= from {
		return at, false, nil
	}
	id, _ := r.o.Store.Identity()
	begin := from.PageStart()
	f := walstore.NewSentRestart(id, srv.timeline, begin)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(partingPatience, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	err = look(ctx, s, srv.timeline, begin, to, func(_ lsn.LSN, sent []byte) (bool, error) {
		silence.Reset(partingPatience)
		f.Add(sent)
		return true, nil
	})
	switch {
	case pgerror.HasCode(err, pgerror.UndefinedFile):
		return at, true, nil
	case err != nil:
		return at, false, err
	}
	if at.LSN, at.Clean, down = f.First(from); !down {
		return at, false, nil
	}
	return at, true, nil
}

// settledAt asks as settled does about the primary at e, while WAL comes from a member. It has a session of its own.
func (r *Supply) settledAt(ctx context.Context, e upstream.Endpoint, t lsn.TimelineID, end lsn.LSN) (bool, error) {
	owed, owes := r.o.Store.Repairing()
	if have := r.o.Store.Positions(); !owes || owed.Bound <= have.Flushed || end <= have.Complete {
		return true, nil
	}
	own, err := r.o.Upstream.ConnectTo(ctx, e, r.params())
	if err != nil {
		return false, fmt.Errorf("look whether the primary went down: %w", err)
	}
	s := walreceiver.Over(own)
	defer s.Disconnect()
	id, _ := r.o.Store.Identity()
	srv := server{
		system: id.System, timeline: t, xlogpos: end, history: lsn.History{Timeline: t}, seg: id.SegSize,
		version: id.ServerMajor * 10000, endpoint: e.String(),
	}
	return r.settled(ctx, s, &srv, true)
}
