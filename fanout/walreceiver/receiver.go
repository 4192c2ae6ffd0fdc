package walreceiver

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Receiver keeps the state that outlives a connection: the promise, the mirrors that were waited for, the slot's
// position. Methods are for the goroutine that runs streams, where they do not say that any may call them. Make it with
// [New].
type Receiver struct {
	o       Options // fixed by New
	log     *slog.Logger
	promise *promise
	totals  totals
	// reporting is the reporter of the stream that copies now, or copied last; nil: none has yet.
	reporting atomic.Pointer[reporter]
	looks     stuckLooks

	// Owned by the goroutine that runs streams, one after another.
	mirrors  mirrorGate
	slotLost bool              // the slot is known to be invalidated
	slotAt   upstream.Endpoint // where the slot was last
	saidDrop time.Time         // when the log said last that somebody dropped it

	mu     sync.Mutex
	status Status
	live   *live // of the present stream
}

// New checks o and returns a Receiver that does nothing until [Receiver.Attach]. An error is about o. Zero values of
// the intervals and the logger become the defaults.
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
	r := &Receiver{o: o, log: o.Logger, promise: newPromise(o.Store)}
	r.mirrors = mirrorGate{mirrors: o.Mirrors, log: o.Logger, show: func(s MirrorState) {
		r.Update(func(st *Status) { st.Mirrors = s })
	}}
	r.status = Status{State: Disconnected, Since: time.Now(), Slot: o.Slot, SlotState: SlotUnknown}
	return r, nil
}

// Connecting notes that an attempt begins.
func (r *Receiver) Connecting() {
	r.setState(Connecting)
	r.Update(func(st *Status) { st.RuleGated, st.ruleGateUsable = false, false })
}

// Disconnected notes that an attempt has ended.
func (r *Receiver) Disconnected() { r.setState(Disconnected) }

// LoggedIn notes the server that the attempt has logged in at; member names it if it is one of the cluster.
func (r *Receiver) LoggedIn(e upstream.Endpoint, member string, ssl *handshake.SSL) {
	r.Update(func(st *Status) { st.Endpoint, st.Member, st.SSL = e, member, ssl })
}

// SlotLost notes that the slot is invalidated: the next stream makes it anew. It is called between streams.
func (r *Receiver) SlotLost() { r.slotLost = true }

// Promised returns the highest position that was ever reported under a rule. Any goroutine may call it.
func (r *Receiver) Promised() lsn.LSN { return r.promise.highest() }

// GiveUp lowers the promise to fork, durably; one below fork stays. It blocks for the disk. After an error it is
// lowered in memory, and the disk has the old one. Any goroutine may call it.
func (r *Receiver) GiveUp(fork lsn.LSN) error { return r.promise.lower(fork) }

// OutdatePromise has the next report wait until the promise is durably one of the WAL that is stored then. Call it
// where a store begins anew. Any goroutine may call it.
func (r *Receiver) OutdatePromise() { r.promise.outdate() }

// EndPromise ends a promise that has no end at what is received. Call it once the store has again all that was ever
// reported. Any goroutine may call it.
func (r *Receiver) EndPromise() { r.promise.end() }

// RenewPromise makes the bound durable for the WAL that is stored now: it names no WAL of an earlier life of the store.
func (r *Receiver) RenewPromise() error { return r.promise.renew() }
