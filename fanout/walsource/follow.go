package walsource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// maxHops bounds how many timelines may end on one connection without a byte between them: a server
// that names ever new timelines is not believed for ever.
const maxHops = 100

// errSaidMore: the upstream was told a position that its new timeline has other WAL at. A walsender keeps
// what it was told across timelines, a new one does not (ruling R12).
var errSaidMore = errors.New("more was reported than the new timeline has in common: streaming begins anew")

// follow streams timeline after timeline on one connection, and returns for how long WAL came. It blocks until the
// stream ends; the error says why.
func (r *Supply) follow(ctx context.Context, s Conn, srv server) (time.Duration, error) {
	var began time.Time
	streamed := func() time.Duration {
		if began.IsZero() {
			return 0
		}
		return time.Since(began)
	}
	for hops := 0; hops < maxHops; hops++ {
		p, err := r.prepareStream(ctx, s, &srv)
		if err != nil {
			return streamed(), err
		}
		if r.member == "" {
			r.o.Upstream.SetCurrent(s.Endpoint())
		}
		r.stream.Know(srv.facts())
		copying, next, err := r.start(ctx, p)
		if err != nil {
			return streamed(), r.startRefused(err, srv, p)
		}
		if copying {
			if began.IsZero() {
				began = time.Now()
			}
			r.streaming(s, p)
			next, err = r.copy(ctx, s, srv, p)
			if !errors.Is(err, walreceiver.ErrTimelineEnded) {
				r.stream.Idle()
				return streamed(), r.copyFailed(ctx, err, s, srv, p)
			}
			hops = 0
		}
		r.log.Info("timeline ended upstream", "timeline", p.timeline, "next_timeline", next.timeline, "lsn", next.at)
		if r.stream.Said() > next.at {
			return streamed(), errSaidMore
		}
		r.stream.Carry(next.at)
		if err := r.identifyAgain(ctx, s, &srv); err != nil {
			return streamed(), err
		}
		if r.stream.Know(srv.facts()) {
			return streamed(), walreceiver.ErrRuleGate // it was promoted in place
		}
	}
	return streamed(), fmt.Errorf("%w: %d timelines in a row without WAL", walreceiver.ErrProtocol, maxHops)
}

// start asks for WAL from p on. copying false: the timeline ended there, and next follows.
func (r *Supply) start(ctx context.Context, p startPoint) (copying bool, next startPoint, err error) {
	copying, at, err := r.stream.Start(ctx, walreceiver.StartPoint{Timeline: p.timeline, At: p.at})
	return copying, startPoint{at.Timeline, at.At}, err
}

// copy takes WAL of one timeline from p on, and blocks until that ends. It returns where the next one begins.
func (r *Supply) copy(ctx context.Context, s Conn, srv server, p startPoint) (startPoint, error) {
	have, unseen := r.o.Store.Positions(), lsn.Invalid
	c := walreceiver.Copy{
		From:   walreceiver.StartPoint{Timeline: p.timeline, At: p.at},
		Writes: r.member == "" && p.timeline == srv.timeline,
	}
	switch {
	case have.Timeline < p.timeline: // prepareStream left it to the first WAL
		c.Begin = func() error { return r.startStream(p, srv) }
		if fork, _, leaves := srv.history.SwitchPoint(have.Timeline); leaves {
			c.Stored = min(fork, have.Received) // StartStream leaves behind what lies beyond
		}
	case !r.recognised && uncompared(have, srv, p, r.lacking):
		unseen, c.Stored = have.Received, have.Received+1 // the next record's link names the last stored one
	default:
		c.Stored = have.Received
	}
	c.Same = func() {
		r.proven(s, srv, p)
		r.tellUncompared(unseen, srv)
	}
	if member := r.member; member != "" {
		c.Ends = func(at lsn.LSN) bool { return r.o.Final(member, p.timeline, at) }
	}
	if r.member == "" {
		c.Beside = append(c.Beside, func(ctx context.Context) { r.lookForSilence(ctx, s.Endpoint(), r.stream.HeardAt) })
	}
	if c.Writes {
		c.Beside = append(c.Beside, func(ctx context.Context) { r.lookForHigher(ctx, s, srv) })
	}
	next, err := r.stream.Copy(ctx, c)
	return startPoint{next.Timeline, next.At}, err
}

// copyFailed explains the end of a COPY that began at p.
func (r *Supply) copyFailed(ctx context.Context, err error, s Conn, srv server, p startPoint) error {
	switch {
	case errors.As(err, new(*walstore.ReplacedError)):
		return r.replaced(ctx)
	case errors.Is(err, walstore.ErrDiverged):
		s.Disconnect() // its walsender may be the only one
		err = r.diverged(ctx, err, s.Endpoint(), srv, p)
		r.avoid[s.Endpoint().String()] = err
		r.lostWAL(srv, err)
		return errPermanent{err}
	}
	return r.startRefused(err, srv, p)
}

// identifyAgain asks anew after the end of a timeline: a promotion changes more than the timeline. After an error srv
// is as before.
func (r *Supply) identifyAgain(ctx context.Context, s Conn, srv *server) error {
	next, err := r.identify(ctx, s)
	if err != nil {
		return err
	}
	next.slotRestart, next.slotTLI = srv.slotRestart, srv.slotTLI
	*srv = next
	return nil
}

// prepareStream gets histories and store ready for the next START_REPLICATION, and returns where it is to begin. The
// error says why srv is not followed: it lacks WAL, or has other.
func (r *Supply) prepareStream(ctx context.Context, s Conn, srv *server) (startPoint, error) {
	if err := r.ownHistory(ctx, s, srv); err != nil {
		return startPoint{}, err
	}
	r.o.Store.Release(r.heed(*srv))
	have := r.o.Store.Positions()
	p, err := planStart(have, *srv, r.resumption(have))
	if err == nil {
		p = datedOverlap(have, *srv, p, r.lacking, r.o.Store.Dated)
		r.inquire(ctx, have, srv)
		if err = r.recognise(ctx, s, srv, have); err == nil {
			r.part(ctx, s, s.Endpoint(), srv, srv.known.lack(*srv))
			r.partBefore(ctx, s, *srv, have)
			err = r.judge(have, *srv)
		}
	}
	if err != nil {
		return p, r.notFollowed(*srv, err)
	}
	if err := r.mirrorHistories(ctx, s, *srv, p.timeline); err != nil {
		return p, err
	}
	if err := r.adopt(*srv); err != nil {
		return p, err
	}
	have = r.o.Store.Positions()
	if primary := r.member == "" && !srv.inRecovery() && !srv.virtual; primary && have.Timeline == srv.timeline {
		if err := r.standbysFirst(ctx, s, srv); err != nil {
			return p, r.notFollowed(*srv, err)
		}
		if err := r.bounded(srv.xlogpos); err != nil { // on a full disk WAL goes on through memory
			r.log.Warn("cannot note how much WAL is owed at most: until the next connection it is as much as before",
				"err", err)
		}
	}
	if givenUpRecord(have, *srv) {
		return p, r.replaced(ctx)
	}
	if have.Timeline == 0 && srv.xlogpos > p.at || destructive(have, *srv, p) {
		// An empty store stays empty, and nothing is moved aside, until the server has proven that it
		// has the WAL: stream does it then.
		return p, nil
	}
	return p, r.startStream(p, *srv)
}

// notFollowed notes that srv is not followed because of err, which it returns. errPermanent: another attempt will find
// the same.
func (r *Supply) notFollowed(srv server, err error) error {
	r.lostWAL(srv, err)
	r.o.Store.Release(lsn.Invalid)
	if errors.As(err, new(errUntold)) {
		return err // it may tell at the next attempt
	}
	return errPermanent{err}
}

// tellUncompared notes that a primary is followed of which no stored record was seen again, up to end. Invalid: one
// was. It could have come back without WAL that was acknowledged, and nobody can tell: the segments that would show it
// are removed there, or gone here.
func (r *Supply) tellUncompared(end lsn.LSN, srv server) {
	if r.member != "" || srv.inRecovery() {
		end = lsn.Invalid
	}
	r.rcv.Update(func(st *walreceiver.Status) { st.Uncompared = end })
	if end != lsn.Invalid {
		r.log.Warn("the primary is followed without a look whether it has lost WAL: the segment before the end of the "+
			"stored WAL is removed there, or gone here", "host", srv.endpoint, "end_lsn", end)
	}
}

// startStream lets the store take WAL from p on, of a timeline in srv's history. The history file of srv's timeline is
// stored here and no earlier. A timeline may never be followed, because it lacks acknowledged WAL or its server died.
// Its history must neither speak against another server that is promoted to the same number, nor lead a standby there.
func (r *Supply) startStream(p startPoint, srv server) error {
	h, before := srv.history, r.o.Store.Positions().Timeline
	if before < p.timeline {
		if err := r.leaveFor(srv); err != nil {
			return err
		}
	}
	if p.timeline == h.Timeline && r.own != nil {
		if err := r.o.Store.PutHistory(h.Timeline, r.own); err != nil {
			return fmt.Errorf("store history of timeline %s: %w", h.Timeline, err)
		}
	}
	if err := r.tellLost(h); err != nil {
		return err
	}
	promised := r.carried(p, srv)
	if err := r.boundLater(promised); err != nil {
		return err
	}
	if err := r.o.Store.StartStream(p.timeline, p.at); err != nil {
		return fmt.Errorf("start stream at %s on timeline %s: %w", p.at, p.timeline, err)
	}
	if err := r.leavePromise(promised); err != nil {
		return err
	}
	if err := r.follows(h, before); err != nil {
		return err
	}
	if err := r.boundPromise(promised); err != nil {
		return err
	}
	have, left := r.o.Store.Positions(), lsn.TimelineID(0)
	if before < p.timeline {
		left = before
	}
	kept, err := r.o.Begins(r.member, have.Received == have.Oldest, left)
	if err == nil && kept {
		err = r.keepAside()
	}
	return err
}

// streaming publishes that WAL flows.
func (r *Supply) streaming(s Conn, p startPoint) {
	r.locked(func() { r.lacks = r.unfit })
	r.rcv.Update(func(st *walreceiver.Status) { st.LastError = "" })
	r.stream.Flows(p.timeline)
	r.lastLog = ""
	r.log.Info("started streaming WAL from upstream", "upstream", s.Endpoint().String(),
		"timeline", p.timeline, "start_lsn", p.at, "slot", r.o.Slot, "slot_advanced_by_sql", r.stream.Apart(),
		"rule_gate", r.stream.RuleGate())
}

// proven notes that the server has the stored WAL: an operator's word about WAL that is lacking has nothing to be
// about. Before that its bytes may yet differ, and the word is about that.
func (r *Supply) proven(s Conn, srv server, p startPoint) {
	r.keep(srv, p.timeline)
	r.endWord(p.timeline)
	r.forgive(s.Endpoint().String())
	r.locked(func() { r.refusedSince = time.Time{} })
}
