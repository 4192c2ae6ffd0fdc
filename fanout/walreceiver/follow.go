package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// maxHops bounds how many timelines may end on one connection without a byte between them: a server
// that names ever new timelines is not believed for ever.
const maxHops = 100

// followMember streams from a member: without a slot there, and with an eye on the primary.
func (r *Receiver) followMember(ctx context.Context, s *upstream.Session, srv server) (time.Duration, error) {
	r.ruled, r.apart = r.hasRule(), true
	r.update(func(st *Status) { st.SlotState, st.SlotLSN, st.SlotApart = SlotUnknown, lsn.Invalid, true })
	defer r.lookAfterPrimary(ctx, srv.system)()
	return r.follow(ctx, s, srv)
}

// follow streams timeline after timeline on one connection.
func (r *Receiver) follow(ctx context.Context, s *upstream.Session, srv server) (time.Duration, error) {
	moved, stop := r.watch()
	defer stop()
	defer r.settle()
	live := newLive(&r.totals)
	var rp *reporter
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
			r.o.Upstream.SetCurrent(s.Endpoint)
		}
		copying, next, err := r.startReplication(ctx, s, srv, p)
		if err != nil {
			return streamed(), r.startRefused(err, srv, p)
		}
		if rp == nil {
			rp = r.newReporter(s, srv, live, moved)
		}
		rp.core.recovery = srv.inRecovery() // anew: a promotion ends the timeline, not the connection
		if copying {
			if began.IsZero() {
				began = time.Now()
			}
			r.streaming(s, p, live)
			writes := r.member == "" && p.timeline == srv.timeline
			r.mirrors.begin(place{s.Endpoint, srv.system, p.timeline}, writes, time.Now())
			next, err = r.stream(ctx, s, rp, p, srv)
			if !errors.Is(err, errTimelineEnded) {
				r.setLive(nil)
				if errors.As(err, new(*walstore.ReplacedError)) {
					return streamed(), r.replaced(ctx)
				}
				if errors.Is(err, walstore.ErrDiverged) {
					r.avoid[s.Endpoint.String()] = err
					err = r.diverged(ctx, err, s.Endpoint, srv, p)
					r.lostWAL(srv, err)
					return streamed(), errPermanent{err}
				}
				return streamed(), r.startRefused(err, srv, p)
			}
			hops = 0
		}
		r.log.Info("timeline ended upstream", "timeline", p.timeline, "next_timeline", next.timeline, "lsn", next.at)
		if rp.core.said() > next.at {
			return streamed(), errSaidMore
		}
		rp.carry(next.at)
		fitted := r.gateFits(srv)
		if err := r.identifyAgain(ctx, s, &srv); err != nil {
			return streamed(), err
		}
		if !fitted && r.gateFits(srv) {
			return streamed(), errGate // it was promoted in place
		}
	}
	return streamed(), fmt.Errorf("%w: %d timelines in a row without WAL", ErrProtocol, maxHops)
}

// identifyAgain asks anew after the end of a timeline: a promotion changes more than the timeline.
func (r *Receiver) identifyAgain(ctx context.Context, s *upstream.Session, srv *server) error {
	next, err := r.identify(ctx, s)
	if err != nil {
		return err
	}
	next.slotRestart, next.slotTLI = srv.slotRestart, srv.slotTLI
	*srv = next
	return nil
}

// settle ends a stream's reports.
func (r *Receiver) settle() {
	if err := r.promise.settle(); err != nil {
		r.log.Warn("the next start will take all stored WAL for acknowledged", "err", err)
	}
}

// prepareStream gets histories and store ready for the next START_REPLICATION.
func (r *Receiver) prepareStream(ctx context.Context, s *upstream.Session, srv *server) (startPoint, error) {
	if err := r.ownHistory(ctx, s, srv); err != nil {
		return startPoint{}, err
	}
	r.o.Store.Release(r.heed(*srv))
	have := r.o.Store.Positions()
	p, err := planStart(have, *srv, r.resumption(have))
	if err == nil {
		r.inquire(ctx, have, srv)
		r.part(ctx, s.Endpoint, srv, srv.known.lack(*srv))
		err = r.judge(have, *srv)
	}
	if err != nil {
		r.lostWAL(*srv, err)
		r.o.Store.Release(lsn.Invalid)
		return p, errPermanent{err}
	}
	if err := r.mirrorHistories(ctx, s, *srv, p.timeline); err != nil {
		return p, err
	}
	if err := r.adopt(*srv); err != nil {
		return p, err
	}
	have = r.o.Store.Positions()
	if givenUpRecord(have, *srv) {
		return p, r.replaced(ctx)
	}
	if have.Timeline == 0 && srv.xlogpos > p.at || destructive(have, *srv, p) {
		// An empty store stays empty, and nothing is moved aside, until the server has proven that it
		// has the WAL: stream does it then.
		return p, nil
	}
	return p, r.startStream(p, srv.history)
}

// startStream lets the store take WAL from p on, of a timeline in h. Only now the history of h's own timeline
// is stored: of one that was never followed, because it lacks acknowledged WAL or its server died, nothing may
// stay that speaks against another server which is promoted to the same number, or leads a standby there.
func (r *Receiver) startStream(p startPoint, h lsn.History) error {
	before := r.o.Store.Positions().Timeline
	if p.timeline == h.Timeline && r.own != nil {
		if err := r.o.Store.PutHistory(h.Timeline, r.own); err != nil {
			return fmt.Errorf("store history of timeline %s: %w", h.Timeline, err)
		}
	}
	if err := r.o.Store.StartStream(p.timeline, p.at); err != nil {
		return fmt.Errorf("start stream at %s on timeline %s: %w", p.at, p.timeline, err)
	}
	if fork, _, ok := h.SwitchPoint(before); ok && before != p.timeline {
		if err := r.promise.lower(fork); err != nil {
			return err
		}
	}
	return r.follows(h.Timeline)
}

func (r *Receiver) newReporter(s *upstream.Session, srv server, live *live, moved <-chan struct{}) *reporter {
	now := time.Now()
	var floor lsn.LSN
	switch { // without a slot reports move none
	case r.gated():
		floor = r.gate.restart
	case !r.slotless():
		floor = slotFloor(r.o.Store.Positions(), srv)
	}
	writeFor := r.o.Timeout
	if writeFor <= 0 {
		writeFor = DefaultTimeout
	}
	return &reporter{
		conn: s.Conn, store: r.o.Store, quorum: r.o.Quorum, feedback: r.o.Feedback, live: live, moved: moved,
		merged: mergedOf(r.o.Feedback), writeFor: writeFor, promise: r.promise, mirrors: &r.mirrors, log: r.log,
		ruled: r.ruled, choice: r.o.Slot != "" && r.o.Keeper != nil && r.member == "" && r.o.RuleGate == nil,
		core: core{
			interval: r.o.StatusInterval, senderTimeout: senderTimeout(srv.settings), timeout: r.o.Timeout,
			uneasy: r.uneasy(), gated: r.gated(),
			floor: floor, sent: now, heard: now, greet: now.Add(greetAfter),
		},
		hs:      feedbackCore{interval: r.o.StatusInterval, slotless: r.slotless(), borne: r.borne},
		catalog: r.catalogBeside,
	}
}

// streaming publishes that WAL flows.
func (r *Receiver) streaming(s *upstream.Session, p startPoint, live *live) {
	r.setLive(live)
	r.setState(Streaming)
	r.update(func(st *Status) { st.Timeline, st.LastError, st.Lack = p.timeline, "", r.lack })
	r.lastLog = ""
	r.log.Info("started streaming WAL from upstream", "upstream", s.Endpoint.String(),
		"timeline", p.timeline, "start_lsn", p.at, "slot", r.o.Slot, "slot_advanced_by_sql", r.apart,
		"rule_gate", r.gate.name)
}

// proven notes that the server has the stored WAL: an operator's word about WAL that is lacking has nothing to be
// about. Before that its bytes may yet differ, and the word is about that.
func (r *Receiver) proven(s *upstream.Session, p startPoint) {
	r.waits(p.timeline, r.lack)
	r.forgive(s.Endpoint.String())
}

func (r *Receiver) setParameters(s *upstream.Session) {
	p := maps.Clone(s.Parameters)
	r.update(func(st *Status) { st.Parameters = p })
}
