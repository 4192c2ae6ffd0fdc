package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// repeatLog is how often an error that does not change is logged again.
const repeatLog = time.Minute

// maxHops bounds how many timelines may end on one connection without a byte between them: a server
// that names ever new timelines is not believed for ever.
const maxHops = 100

// Receiver keeps one upstream stream flowing into the store.
type Receiver struct {
	// Fixed by New.
	o     Options
	log   *slog.Logger
	watch func() (moved <-chan struct{}, stop func())

	// Owned by Run.
	lacking  lsn.LSN // a start before the end of the store that failed
	promise  *promise
	mirrors  mirrorGate
	lack     *LackError        // why a server was not followed at the present attempt
	gone     lsn.LSN           // restorable is up to here what the upstream has removed; Invalid: it has all
	slotLost bool              // START_REPLICATION said that the slot is invalidated
	ruled    bool              // there was a rule when the connection began
	apart    bool              // the slot is held by SQL, the stream does without it
	member   string            // the member of the cluster that is streamed from; "": a server
	avoid    map[string]error  // hosts whose WAL was found to differ, until no other host is left
	refusals map[string]string // what was logged of hosts that are refused
	lastLog  string
	logged   time.Time

	totals totals

	mu     sync.Mutex
	status Status
	live   *live // of the present stream
	again  context.CancelCauseFunc

	starving bool // see starve

	primary      upstream.Endpoint // while a member is streamed from
	primaryKnown bool
}

// New checks o and returns a Receiver that does nothing until [Receiver.Run].
func New(o Options) (*Receiver, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.StatusInterval == 0 {
		o.StatusInterval = DefaultStatusInterval
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	r := &Receiver{o: o, log: o.Logger, avoid: map[string]error{}, refusals: map[string]string{}}
	r.promise = newPromise(o.Store)
	r.mirrors = mirrorGate{mirrors: o.Mirrors, log: o.Logger, show: func(s MirrorState) {
		r.update(func(st *Status) { st.Mirrors = s })
	}}
	r.watch = func() (<-chan struct{}, func()) {
		w := o.Store.Watch(walstore.MovedWritten | walstore.MovedFlushed)
		return w.C(), w.Close
	}
	r.status = Status{State: Disconnected, Since: time.Now(), Slot: o.Slot, SlotState: SlotUnknown}
	return r, nil
}

// Run connects and streams, again and again, until ctx ends, when it says goodbye to the upstream and
// returns nil, or until the store fails, when it returns that error. Everything else is logged, shown
// by Status, and tried again.
func (r *Receiver) Run(ctx context.Context) error {
	var wait backoff
	for first := true; ; first = false {
		if !first {
			r.update(func(st *Status) { st.Reconnects++ })
		}
		attempt, cancel := r.newAttempt(ctx)
		streamed, err := r.connection(attempt)
		r.setState(Disconnected)
		restored, err := r.restore(attempt, err)
		if ctx.Err() != nil {
			cancel()
			return nil
		}
		if attempt.Err() != nil {
			cancel()
			r.asked(context.Cause(attempt))
			continue
		}
		if errors.Is(err, walstore.ErrFailed) || errors.Is(err, walstore.ErrClosed) {
			return fmt.Errorf("receive WAL: %w", err)
		}
		if restored {
			cancel()
			continue
		}
		r.failed(err)
		var refusal *pgerror.Error
		if r.member == "" && (!errors.As(err, &refusal) || refusal.Severity != pgerror.SeverityError) {
			r.o.Upstream.DoubtCurrent() // a server that only refuses a command is still the one
		}
		noSlotLeft := refusedWith(err, pgerror.TooManyConnections)
		r.waiting(noSlotLeft)
		// With several hosts the next look may find another one.
		permanent := errors.As(err, new(errPermanent)) && r.o.Upstream.Servers() == 1
		d := wait.next(streamed, permanent, r.o.Rand())
		err = pause(attempt, d)
		cancel()
		if err != nil && ctx.Err() != nil {
			r.waiting(false)
			return nil
		}
		if err != nil {
			r.asked(err)
		}
	}
}

// asked is for an attempt that was ended from outside.
func (r *Receiver) asked(why error) {
	r.log.Info("connecting to upstream anew", "because", why)
	r.slotLost = r.slotLost || errors.Is(why, errSlotLost)
}

// What ends a connection, or the wait for the next try, from outside.
var (
	errAgain    = errors.New("upstream.conninfo has changed")
	errRedirect = errors.New("WAL is to be streamed from elsewhere")
	errSlotLost = errors.New("the primary has invalidated the slot")
)

// newAttempt is the context of one connection and of the wait after it.
func (r *Receiver) newAttempt(ctx context.Context) (context.Context, func()) {
	attempt, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = cancel
	return attempt, func() { cancel(nil) }
}

// Reconnect ends the present connection in order, or the wait for the next try, and connects at once, by
// what Options.Upstream says now. Any goroutine may.
func (r *Receiver) Reconnect() { r.anew(errAgain) }

// Redirect does the same because Options.Via says otherwise now.
func (r *Receiver) Redirect() { r.anew(errRedirect) }

// SlotLost is told that the primary has invalidated the slot, which a stream goes on without noticing, and
// 14 does not say on a walsender connection (facts K53): the slot is made anew. Any goroutine may.
func (r *Receiver) SlotLost() { r.anew(errSlotLost) }

func (r *Receiver) anew(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.again != nil {
		r.again(cause)
	}
}

// waiting tells the gate whether relayed log-ins should let us go first. Between attempts that is only
// so when the upstream had no walsender left: any other failure would hold them up for nothing.
func (r *Receiver) waiting(on bool) {
	if r.o.Gate != nil {
		r.o.Gate.WalreceiverWaiting(on)
	}
}

// connection is one connection from log-in to its end. streamed is for how long WAL could flow.
func (r *Receiver) connection(ctx context.Context) (streamed time.Duration, err error) {
	r.starve(false)
	r.gone = lsn.Invalid
	r.setState(Connecting)
	r.lack = nil
	s, err := r.viaMember(ctx)
	if s == nil && err == nil {
		r.waiting(true)
		s, err = r.find(ctx)
		r.waiting(false)
	}
	if err != nil {
		return 0, err
	}
	defer s.Conn.Close()
	r.setParameters(s)
	r.update(func(st *Status) { st.Endpoint, st.Member, st.SSL = s.Endpoint, r.member, handshake.SSLOf(s.Conn) })
	srv, err := r.identify(ctx, s)
	if err != nil {
		return 0, err
	}
	if r.member != "" {
		return r.followMember(ctx, s, srv)
	}
	state, err := r.prepareSlot(ctx, s, &srv)
	if err == nil {
		r.slotLost = false
		state = r.holdSlot(ctx, s, &srv, state)
		defer r.letSlotGo()
	}
	r.update(func(st *Status) { st.SlotState, st.SlotLSN, st.SlotApart = state, srv.slotRestart, r.apart })
	if err != nil {
		return 0, err
	}
	return r.follow(ctx, s, srv)
}

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
		if rp == nil {
			rp = r.newReporter(s, srv, live, moved)
		}
		rp.core.recovery = srv.inRecovery() // anew: a promotion ends the timeline, not the connection
		if r.member == "" {
			r.o.Upstream.SetCurrent(s.Endpoint)
		}
		copying, next, err := r.startReplication(ctx, s, srv, p)
		if err != nil {
			return streamed(), r.startRefused(err, srv, p)
		}
		if copying {
			if began.IsZero() {
				began = time.Now()
			}
			r.streaming(s, p, live)
			writes := r.member == "" && p.timeline == srv.timeline
			r.mirrors.begin(place{s.Endpoint, srv.system, p.timeline}, writes, time.Now())
			next, err = r.stream(ctx, s, rp, p, srv.history)
			if !errors.Is(err, errTimelineEnded) {
				r.setLive(nil)
				if errors.Is(err, walstore.ErrDiverged) {
					r.avoid[s.Endpoint.String()] = err
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
		if err := r.identifyAgain(ctx, s, &srv); err != nil {
			return streamed(), err
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
	if err := r.mirrorHistories(ctx, s, srv); err != nil {
		return startPoint{}, err
	}
	p, err := planStart(r.o.Store.Positions(), *srv, r.lacking)
	if err == nil {
		err = lacks(r.o.Store.Positions(), *srv, r.promised(srv.timeline))
	}
	if err != nil {
		return p, errPermanent{err}
	}
	if err := r.adopt(*srv); err != nil {
		return p, err
	}
	have := r.o.Store.Positions()
	if have.Timeline == 0 && srv.xlogpos > p.at || destructive(have, *srv, p) {
		// An empty store stays empty, and nothing is moved aside, until the server has proven that it
		// has the WAL: stream does it then.
		return p, nil
	}
	return p, r.startStream(p, srv.history)
}

// startStream lets the store take WAL from p on, of a timeline in h.
func (r *Receiver) startStream(p startPoint, h lsn.History) error {
	before := r.o.Store.Positions().Timeline
	if err := r.o.Store.StartStream(p.timeline, p.at); err != nil {
		return fmt.Errorf("start stream at %s on timeline %s: %w", p.at, p.timeline, err)
	}
	if fork, _, ok := h.SwitchPoint(before); ok && before != p.timeline {
		return r.promise.lower(fork)
	}
	return nil
}

// promised is what a server on timeline t must have to be followed: all that was reported under a rule, by anybody,
// unless the operator has accepted t as it is (ruling R3).
func (r *Receiver) promised(t lsn.TimelineID) (p promised) {
	if r.o.Accepted != nil && r.o.Accepted(t) {
		return p
	}
	if r.o.Others != nil {
		p.at, p.unheard = r.o.Others()
	}
	p.at = max(p.at, r.Promised())
	return p
}

// Promised is the highest position that was reported under a rule, of the WAL that is stored.
func (r *Receiver) Promised() lsn.LSN { return r.promise.highest() }

// startRefused reads the refusals that change what the next attempt does or how it is explained.
func (r *Receiver) startRefused(err error, srv server, p startPoint) error {
	var e *pgerror.Error
	early := p.at < srv.seg.Floor(r.o.Store.Positions().Received)
	switch {
	case early && (refusedWith(err, pgerror.UndefinedFile) || errors.Is(err, walstore.ErrRemoved) ||
		errors.Is(err, walstore.ErrDamaged)):
		r.lacking = p.at // the segment was only to be compared: without it we start where PostgreSQL does
	case errors.Is(err, ErrInvariant):
		r.update(func(st *Status) { st.InvariantViolations++ })
	case errors.Is(err, walstore.ErrDiverged):
		return errPermanent{err}
	case !errors.As(err, &e):
	case e.Code == pgerror.UndefinedFile:
		end := r.o.Store.Positions().Received
		r.starve(true)
		r.gone = restorable(r.o.Store.Positions(), srv)
		return errPermanent{fmt.Errorf("%w: the upstream has removed the WAL that follows %s, where the store ends; "+
			"nothing is skipped: name an archive that has it in wal.restore_command; or stop the upstream, bring the "+
			"segments back to its pg_wal, raise its wal_keep_size and start it again; or start with an empty data "+
			"directory and rebuild the standbys that need that WAL", err, end)}
	case e.Code == pgerror.ObjectNotInPrerequisite && srv.version >= 180000 && r.o.Slot != "" && !r.apart:
		r.slotLost = true // "can no longer access replication slot"
	case e.Code == pgerror.ObjectInUse:
		r.update(func(st *Status) { st.SlotState = SlotBusy })
	}
	return err
}

func (r *Receiver) newReporter(s *upstream.Session, srv server, live *live, moved <-chan struct{}) *reporter {
	now := time.Now()
	var floor lsn.LSN
	if r.o.Slot != "" && !r.apart { // or reports do not move it
		floor = slotFloor(r.o.Store.Positions(), srv)
	}
	writeFor := r.o.Timeout
	if writeFor <= 0 {
		writeFor = DefaultTimeout
	}
	return &reporter{
		conn: s.Conn, store: r.o.Store, quorum: r.o.Quorum, feedback: r.o.Feedback, live: live, moved: moved,
		merged: mergedOf(r.o.Feedback), writeFor: writeFor, promise: r.promise, mirrors: &r.mirrors, log: r.log,
		ruled: r.ruled, choice: r.o.Slot != "" && r.o.Keeper != nil && r.member == "",
		core: core{
			interval: r.o.StatusInterval, senderTimeout: senderTimeout(srv.settings), timeout: r.o.Timeout,
			floor: floor, sent: now, heard: now, greet: now.Add(greetAfter),
		},
		hs: feedbackCore{interval: r.o.StatusInterval, slotless: r.o.Slot == "" || r.apart},
	}
}

// streaming publishes that WAL flows.
func (r *Receiver) streaming(s *upstream.Session, p startPoint, live *live) {
	r.setLive(live)
	r.setState(Streaming)
	r.update(func(st *Status) { st.Timeline, st.LastError, st.Lack = p.timeline, "", r.lack })
	r.lastLog = ""
	r.log.Info("started streaming WAL from upstream", "upstream", s.Endpoint.String(),
		"timeline", p.timeline, "start_lsn", p.at, "slot", r.o.Slot, "slot_advanced_by_sql", r.apart)
}

func (r *Receiver) setParameters(s *upstream.Session) {
	p := maps.Clone(s.Parameters)
	r.update(func(st *Status) { st.Parameters = p })
}

// failed shows and logs why a connection ended; the same reason is logged once a minute.
func (r *Receiver) failed(err error) {
	text := pgerror.Describe(err)
	errors.As(err, &r.lack)
	r.update(func(st *Status) { st.LastError, st.Lack = text, r.lack })
	if text == r.lastLog && time.Since(r.logged) < repeatLog {
		return
	}
	r.lastLog, r.logged = text, time.Now()
	switch {
	case errors.Is(err, ErrUpstreamShutdown):
		r.log.Info("upstream is shutting down", "err", text)
	case errors.Is(err, errRuleChanged), errors.Is(err, errSaidMore):
		r.log.Info("connecting anew", "err", text)
	case r.lack != nil:
		r.log.Error("the upstream is not followed", "err", text)
	default:
		r.log.Warn("no WAL from upstream", "err", text)
	}
}
