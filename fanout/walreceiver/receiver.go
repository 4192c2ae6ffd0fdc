package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Receiver keeps one upstream stream flowing into the store.
type Receiver struct {
	// Fixed by New.
	o     Options
	log   *slog.Logger
	watch func() (moved <-chan struct{}, stop func())

	// Owned by Run.
	began    time.Time
	lacking  lsn.LSN    // a start before the end of the store that failed
	obeyed   *LackError // the operator has accepted it, and the server is about to be followed
	heard    []lsn.LSN  // what members had said of it
	behind   lsn.LSN    // where that server was
	aside    bool       // the operator has given up WAL that the store has
	own      []byte     // history file of the server's timeline; nil: it has none
	promise  *promise
	mirrors  mirrorGate
	lack     *LackError                  // why a server was not followed at the present attempt
	gone     lsn.LSN                     // restorable is up to here what the upstream has removed; Invalid: it has all
	slotLost bool                        // START_REPLICATION said that the slot is invalidated
	ruled    bool                        // there was a rule when the connection began
	apart    bool                        // the slot is held by SQL, the stream does without it
	gate     grant                       // of the present connection
	foreign  bool                        // somebody else's slot has its name, the stream does without it
	borne    copyboth.HotStandbyFeedback // what the stream's slot bore when the connection began; see bears
	slotAt   upstream.Endpoint           // where the slot was last
	saidDrop time.Time                   // when the log said last that somebody dropped it
	member   string                      // the member of the cluster that is streamed from; "": a server
	avoid    map[string]error            // hosts whose WAL was found to differ, until no other host is left
	refusals map[string]string           // what was logged of hosts that are refused
	lastLog  string
	logged   time.Time

	totals   totals
	higher   atomic.Pointer[Higher]
	lost     atomic.Pointer[map[string]Known]   // see lostWAL: by endpoint; never changed in place
	partings atomic.Pointer[map[string]parting] // see part: by endpoint; never changed in place
	seen     atomic.Uint32                      // the highest timeline on which a server of the system was

	mu     sync.Mutex
	status Status
	live   *live // of the present stream
	again  context.CancelCauseFunc

	starving bool // see starve

	primary         upstream.Endpoint // while a member is streamed from
	primaryKnown    bool
	unanswered      bool // see PrimaryDown
	unansweredSince time.Time
	finding         bool // see Finding

	silentSince time.Time // see Silence
	mute        bool
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
	r := &Receiver{o: o, log: o.Logger, began: time.Now(), avoid: map[string]error{}, refusals: map[string]string{}}
	r.promise = newPromise(o.Store)
	r.recall()
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
	r.began = time.Now()
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
		if errors.Is(err, errReplaced) || r.gated() && refusedWith(err, pgerror.AdminShutdown) {
			cancel() // or another member took the gate, or the primary invalidated it: the next attempt tells
			continue
		}
		if r.member == "" {
			// A server that is there and refused is one that answers, whatever the others say.
			refused := errors.As(err, new(errPermanent))
			r.silent(upstream.Down(err) && !refused || streamed > 0 && !answered(err))
		}
		var refusal *pgerror.Error
		if r.member == "" && (!errors.As(err, &refusal) || refusal.Severity != pgerror.SeverityError) {
			r.o.Upstream.DoubtCurrent() // a server that only refuses a command is still the one
		}
		if refusedWith(err, pgerror.TooManyConnections) {
			r.refused()
		} else {
			r.waiting(false)
		}
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

// refused tells the gate that the upstream had no walsender left.
func (r *Receiver) refused() {
	if r.o.Gate != nil {
		r.o.Gate.WalreceiverRefused()
	}
}

// connection is one connection from log-in to its end. streamed is for how long WAL could flow.
func (r *Receiver) connection(ctx context.Context) (streamed time.Duration, err error) {
	r.starve(false)
	r.gone = lsn.Invalid
	r.setState(Connecting)
	r.lack, r.obeyed, r.heard = nil, nil, nil
	r.gate = grant{}
	r.update(func(st *Status) { st.Gated, st.gateUsable = false, false })
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
	defer s.Conn.Close()
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
		state = r.judgeSlot(s, srv, state)
		state = r.holdSlot(ctx, s, &srv, state)
		r.takeGate(ctx, s, srv)
		r.borne = r.bears(ctx, s)
		defer r.letSlotGo()
	}
	r.update(func(st *Status) {
		st.SlotState, st.SlotLSN, st.SlotApart, st.Gated = state, srv.slotRestart, r.apart, r.gated()
	})
	if err != nil {
		return 0, err
	}
	return r.follow(ctx, s, srv)
}
