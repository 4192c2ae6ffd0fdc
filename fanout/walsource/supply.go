package walsource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// Supply keeps the store supplied with WAL. One goroutine calls Run; other methods may be called from any, where they
// do not say otherwise. Make it with [New].
type Supply struct {
	// Fixed by New.
	o   Options
	log *slog.Logger
	rcv *walreceiver.Receiver

	// Owned by Run.
	*attempt // the present one
	began    time.Time
	lacking  lsn.LSN           // a start before the end of the store that failed
	avoid    map[string]error  // hosts whose WAL was found to differ, until no other host is left
	refusals map[string]string // what was logged of hosts that are refused, without positions
	lastLog  string            // without positions
	logged   time.Time

	aside    atomic.Uint32 // the timeline of WAL that the operator has given up and that the store has; 0: none
	higher   atomic.Pointer[Higher]
	lost     atomic.Pointer[lostAt]             // see lostWAL: by endpoint; never changed in place
	recalled atomic.Pointer[[]knownwal.Known]   // see recall; nil: nothing; never changed in place
	partings atomic.Pointer[map[string]parting] // see part: by endpoint; never changed in place
	unlike   atomic.Pointer[map[string]unlike]  // see recognise: by endpoint; never changed in place
	late     atomic.Pointer[[]LackError]        // see watchLate; never changed in place
	seen     atomic.Uint32                      // the highest timeline on which a server of the system was

	mu         sync.Mutex
	reconnects int          // attempts begun after the first
	lacks      []*LackError // shown, as attempt.unfit; never changed in place
	lostBy     *LostBy      // shown; never changed in place

	standbysSince time.Time // see standbysFirst
	refusedSince  time.Time // see Status
	stopped       *Stop     // shown
	again         context.CancelCauseFunc

	starving bool // see starve

	primary         upstream.Endpoint // while a member is streamed from
	primaryKnown    bool
	unanswered      bool // see PrimaryDown
	unansweredSince time.Time
	finding         bool // see Finding

	silentSince time.Time // see Silence
	mute        bool
}

// attempt is the state of one attempt to get WAL, from the choice of a server to the end of its connection.
type attempt struct {
	member string              // the member of the cluster that is streamed from; "": a server
	missed bool                // a member was to be streamed from and did not let us in: no server was asked
	own    []byte              // history file of the server's timeline; nil: it has none
	stream *walreceiver.Stream // nil before the server is known

	unfit   []*LackError // why servers were not followed, one for each host at most, the last refusal last
	obeyed  *LackError   // the operator has accepted it, and the server is about to be followed
	heard   []lsn.LSN    // what members had said of it
	mayHave lsn.LSN      // see LackError.mayHave
	// lostBefore is WAL of an earlier timeline that it had lost before it was promoted; nil: none is known.
	lostBefore *LackError
	lostSince  lsn.LSN // where that begins, see partBefore; Invalid: not known
	gone       lsn.LSN // restorable is up to here what the upstream has removed; Invalid: it has all

	recognised bool // the server has WAL that this proxy had and has no more, see recognise
}

// New checks o and returns a Supply that does nothing until [Supply.Run]. An error is about o. A refusal of an earlier
// life is taken from o.Accept.
func New(o Options) (*Supply, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	r := &Supply{o: o, log: o.Logger, attempt: &attempt{}, began: time.Now(), avoid: map[string]error{},
		refusals: map[string]string{}}
	o.Options.Store, o.Probe = o.Store, r.probe
	var err error
	if r.rcv, err = walreceiver.New(o.Options); err != nil {
		return nil, err
	}
	r.recall()
	return r, nil
}

// probe logs in at the server at e by SQL, and out again.
func (r *Supply) probe(ctx context.Context, e upstream.Endpoint) error {
	s, err := r.o.Upstream.ConnectTo(ctx, e, map[string]string{"application_name": r.o.Name})
	if err == nil {
		s.Close()
	}
	return err
}

// Run connects and streams, again and again, until ctx ends, when it says goodbye to the upstream and
// returns nil, or until the store fails, when it returns that error. Everything else is logged, shown
// by Status, and tried again.
func (r *Supply) Run(ctx context.Context) error {
	var wait backoff
	r.began = time.Now()
	defer r.beside(ctx, r.watchLate)()
	for first := true; ; first = false {
		if !first {
			r.locked(func() { r.reconnects++ })
		}
		attempt, cancel := r.newAttempt(ctx)
		streamed, err := r.connection(attempt)
		r.rcv.Disconnected()
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
		if errors.Is(err, errReplaced) || r.ruleGated() && pgerror.HasCode(err, pgerror.AdminShutdown) {
			cancel() // or another member took the rule gate, or the primary invalidated it: the next attempt tells
			continue
		}
		asked := r.member == "" && !r.missed // or err is no server's
		if asked {
			r.silent(unanswered(err, streamed > 0))
		}
		var refusal *pgerror.Error
		if asked && (!errors.As(err, &refusal) || refusal.Severity != pgerror.SeverityError) {
			r.o.Upstream.UnsetCurrent() // a server that only refuses a command is still the one
		}
		if asked && pgerror.HasCode(err, pgerror.TooManyConnections) {
			r.refused()
		} else {
			r.waiting(false)
		}
		// With several hosts the next look may find another one.
		permanent := errors.As(err, new(errPermanent)) && r.o.Upstream.Servers() == 1
		d := wait.next(streamed, permanent, r.o.Rand())
		err = deadline.Sleep(attempt, d)
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

// beside runs f beside the caller, and returns what ends it.
func (r *Supply) beside(ctx context.Context, f func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() { f(ctx) })
	return func() {
		cancel()
		g.Wait()
	}
}

// asked notes why an attempt was ended from outside.
func (r *Supply) asked(why error) {
	r.log.Info("connecting to upstream anew", "because", why)
	if errors.Is(why, errSlotLost) {
		r.rcv.SlotLost()
	}
}

// What ends a connection, or the wait for the next try, from outside.
var (
	errAgain    = errors.New("upstream.conninfo has changed")
	errRedirect = errors.New("WAL is to be streamed from elsewhere")
	errSlotLost = errors.New("the primary has invalidated the slot")
)

// newAttempt returns the context of one connection and of the wait after it.
func (r *Supply) newAttempt(ctx context.Context) (context.Context, func()) {
	attempt, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = cancel
	return attempt, func() { cancel(nil) }
}

// Reconnect ends the present connection in order, or the wait for the next try, and connects at once, by
// what Options.Upstream says now. Any goroutine may.
func (r *Supply) Reconnect() { r.anew(errAgain) }

// Redirect ends the present connection in order, or the wait for the next try, because Options.Via says otherwise now.
// It returns before the next connection is tried. Any goroutine may call it.
func (r *Supply) Redirect() { r.anew(errRedirect) }

// SlotLost has the slot made anew, because the primary has invalidated it. Until 17 a stream begins on such a slot all
// the same, and 14 does not say it on a walsender connection (facts K53). Any goroutine may call it.
func (r *Supply) SlotLost() { r.anew(errSlotLost) }

// RuleGateFree notes that the rule gate may be used: streaming begins anew, with it. Any goroutine may call it.
func (r *Supply) RuleGateFree() { r.anew(walreceiver.ErrRuleGate) }

func (r *Supply) anew(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.again != nil {
		r.again(cause)
	}
}

// waiting tells the log-in gate whether relayed log-ins should let us go first. Between attempts that is only
// so when the upstream had no walsender left: any other failure would hold them up for nothing.
func (r *Supply) waiting(on bool) { r.o.Logins.WalreceiverWaiting(on) }

// refused tells the log-in gate that the upstream had no walsender left.
func (r *Supply) refused() { r.o.Logins.WalreceiverRefused() }

// connection makes one connection, from log-in to its end. streamed is the time in which WAL could flow.
func (r *Supply) connection(ctx context.Context) (streamed time.Duration, err error) {
	r.attempt = &attempt{}
	r.starve(false)
	r.rcv.Connecting()
	if err := r.listen(ctx); err != nil {
		return 0, err
	}
	s, err := r.viaMember(ctx)
	if s == nil && err == nil {
		r.waiting(true)
		s, err = r.find(ctx)
		r.waiting(false)
	}
	if err != nil {
		return 0, err
	}
	defer s.Disconnect()
	r.rcv.LoggedIn(s.Endpoint(), r.member, s.SSL())
	srv, err := r.identify(ctx, s)
	if err != nil {
		return 0, err
	}
	if r.member == "" {
		r.silent(false) // an earlier silence is over
	}
	r.stream = r.rcv.Attach(s, srv.facts(), walreceiver.Link{Member: r.member != "", Uneasy: r.uneasy()})
	defer r.stream.Close()
	if r.member != "" {
		defer r.lookAfterPrimary(ctx, srv.system)()
		return r.follow(ctx, s, srv)
	}
	slot, err := r.stream.PrepareSlot(ctx)
	if err != nil {
		return 0, err
	}
	srv.slotRestart, srv.slotTLI = slot.Restart, slot.Timeline
	return r.follow(ctx, s, srv)
}

// ruleGated reports whether the stream of the attempt uses slots.rule_gate.
func (r *Supply) ruleGated() bool { return r.stream != nil && r.stream.RuleGate() != "" }

func (r *Supply) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}
