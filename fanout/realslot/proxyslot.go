package realslot

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// proxySlotInterval spaces the looks at this proxy's slot. Each look is a log-in, and advances the slot even to
	// where it is, so that it does not count as idle. The slot therefore lags what the store has flushed by no more
	// than this time.
	proxySlotInterval = 5 * time.Second
	// proxySlotBytes advances the slot earlier, once the store has flushed this many bytes: four segments of the usual
	// size.
	proxySlotBytes = 64 << 20
	// proxySlotTick spaces the checks whether a look is due. They ask nobody.
	proxySlotTick = time.Second
)

// Dialer logs in at one server; *upstream.Config is one.
type Dialer interface {
	ConnectTo(ctx context.Context, e upstream.Endpoint, params map[string]string) (*upstream.Session, error)
}

// ProxySlotOptions holds everything that NewProxySlot needs. Fields without a "nil" of their own must be set.
type ProxySlotOptions struct {
	Upstream Dialer
	Slot     string
	Flushed  func() lsn.LSN // of the store
	// Following is asked before the slot is moved to Flushed: while another server is followed, or none
	// yet, it stays where it is.
	Following Following
	// FeedbackSent reports whether the present stream has said the standbys' feedback: until then what the slot bears
	// of it from earlier stays.
	FeedbackSent func() bool
	// Horizon returns the oldest xmin and catalog_xmin that standbys' slots need of the primary. The slot bears them
	// when this proxy has ended, too (ruling R44). False: the slot is not to be raised to it yet. nil: there is none.
	// HorizonChanged gets a token when it may have changed.
	Horizon        func() (Horizon, bool)
	HorizonChanged func() <-chan struct{}
	// Streams reports whether WAL comes in, and from which member of the cluster, which then bears it; "" is the
	// primary. nil: it is.
	Streams func() (member string, ok bool)
	// RuleGated reports whether this proxy's stream bears it, by the slot that it uses. nil: never.
	RuleGated func() bool
	// RuleGate is looked after at each round; nil: there is none.
	RuleGate *RuleGate
	// Borne is told when what [ProxySlot.CatalogXmin] says has changed. It must not block. nil: nobody.
	Borne func()
	// Withdrawn reports whether this proxy's store has withdrawn its vote, and Paused whether it takes no WAL. Where
	// both hold the primary is to keep none for it (ruling R40). nil: never.
	Withdrawn, Paused func() bool
	// MayUse is told whether the server has the slot, before it is made or used; an error forbids both. nil: it may be.
	MayUse func(exists bool) error
	Logger *slog.Logger
}

// ProxySlot holds the proxy's own slot by SQL while the stream does without it (ruling R8). Methods may be called from
// any goroutine. Make it with [NewProxySlot].
type ProxySlot struct {
	o       ProxySlotOptions
	turn    chan struct{} // one token: whoever uses the slot there holds it
	catalog atomic.Uint64 // see CatalogXmin

	// Owned by Run.
	bearing bearing
	last    shownSlot // as seen last

	mu     sync.Mutex
	at     upstream.Endpoint
	seen   upstream.Endpoint // where the slot was ours at the last look
	held   bool
	status ProxySlotStatus
}

// ProxySlotStatus is this proxy's slot as the primary showed it last.
type ProxySlotStatus struct {
	Held      bool    // by SQL, now
	Known     bool    // the rest is
	Restart   lsn.LSN // Invalid: it reserves nothing
	HeldBytes int64   // WAL that the primary keeps, from restart_lsn to its end
	State     string  // wal_status
	Safe      *int64  // safe_wal_size; nil without max_slot_wal_keep_size
	Recreated int64   // how often it was made anew because the primary had invalidated it
	Drops     Drops   // by somebody else
	Err       string  // why the last look or advance failed
	Horizon   Horizon // that it bears
	TellErr   string  // why it could not be told what it is to bear
}

// NewProxySlot makes a ProxySlot that holds nothing.
func NewProxySlot(o ProxySlotOptions) *ProxySlot {
	own := &ProxySlot{o: o, turn: make(chan struct{}, 1)}
	own.turn <- struct{}{}
	return own
}

// take waits for the use of the slot; give ends it. A walsender of a moment and an advance by SQL at once would be
// refused (55006).
func (o *ProxySlot) take(ctx context.Context) (give func(), err error) {
	select {
	case <-o.turn:
		return func() { o.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Status returns the present state.
func (o *ProxySlot) Status() ProxySlotStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.status
	s.Held = o.held
	return s
}

// Held reports whether the slot is held by SQL. A nil slot is not.
func (o *ProxySlot) Held() bool { return o != nil && o.Status().Held }

// Apart reports whether the slot is held by SQL, and does not bear what standbys' slots need.
func (o *ProxySlot) Apart() bool { return o.Held() && !o.Bearing() }

// forsaken reports whether the primary is to keep no WAL for this proxy.
func (o *ProxySlot) forsaken() bool {
	return o.o.Withdrawn != nil && o.o.Paused != nil && o.o.Withdrawn() && o.o.Paused()
}

// Hold makes sure that the slot exists on the server at e, reserves WAL and can be advanced by SQL, and
// tells from where; from then on [ProxySlot.Run] advances it. It waits for the server until ctx ends.
func (o *ProxySlot) Hold(ctx context.Context, e upstream.Endpoint) (lsn.LSN, error) {
	give, err := o.take(ctx)
	if err != nil {
		return lsn.Invalid, err
	}
	defer give()
	s, err := o.connect(ctx, e)
	if err != nil {
		return lsn.Invalid, err
	}
	defer s.Close()
	own, err := o.look(ctx, s)
	if err == nil && own.ours() && o.o.MayUse != nil {
		err = o.o.MayUse(own.exists)
	}
	switch {
	case err != nil:
	case !own.ours():
		err = errNotOurs(o.o.Slot, own)
	case !own.reserves():
		own, err = o.recreate(ctx, s, own)
	case own.ActivePID == 0:
		err = do(ctx, nil, s, action{advance, o.o.Slot}, own.Restart)
	}
	if err != nil {
		return lsn.Invalid, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.held = e, true
	return own.Restart, nil
}

// Release ends Hold.
func (o *ProxySlot) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	o.catalog.Store(0)
}

// Run advances the slot while it is held, and has it bear the horizon, until ctx ends.
func (o *ProxySlot) Run(ctx context.Context) error {
	tick := time.NewTicker(proxySlotTick)
	defer tick.Stop()
	var d proxySlotDue
	var horizon <-chan struct{}
	if o.o.HorizonChanged != nil {
		horizon = o.o.HorizonChanged()
	}
	ours := false // the slot was held at d.of when the server was followed last
	for {
		select {
		case <-ctx.Done():
			if ours {
				o.lastWords(context.WithoutCancel(ctx), d.of)
			}
			return nil
		case <-horizon:
		case <-tick.C:
		}
		w, held, err := o.where()
		if err == nil {
			ours = held
		}
		if !held {
			continue
		}
		if now := time.Now(); d.due(now, w, o.o.Flushed(), o.tellNow(now)) {
			err := o.round(ctx, w)
			d.asked(now, w, o.o.Flushed(), err)
			if o.o.RuleGate != nil {
				o.o.RuleGate.asked(now, err)
			}
			o.complain(ctx, err)
		}
	}
}
