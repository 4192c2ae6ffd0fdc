package realslot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/nudge"
)

const (
	// keepInterval spaces the looks at the primary's slots. WAL that the primary holds for them is at most this much
	// old. It is too long for an idle_replication_slot_timeout of the least value (1 s).
	keepInterval = 5 * time.Second
	// keepTick spaces the checks here whether a look at the primary is due. It is also the time after a start until
	// mirrors are made.
	keepTick = time.Second
	// idleInterval spaces the questions to the primary while no slot needs any. They ask for its next transaction ID
	// and for settings that a reload has changed.
	idleInterval = 10 * time.Second
	// askTimeout bounds one round of questions, connecting included.
	askTimeout = 10 * time.Second
)

// Options of New. Everything but ProxySlot is required.
type Options struct {
	Upstream Primary
	// Following: nothing is done to the slots of any other server, wherever Upstream leads.
	Following Following
	ProxySlot string // the proxy's own slot on the primary
	Gate      string // the slot of slots.rule_gate there, "" for none
	Slots     *slot.Table
	Policy    Policy
	Mirror    Mirror
	// Store is the oldest position of the store, and what it has flushed; Invalid: nothing yet.
	Store         func() (oldest, flushed lsn.LSN)
	Settled       func() bool // feedback is sent upstream
	Own           *ProxySlot  // holds the own slot by SQL, in place of the stream; nil: the stream uses it
	ProxySlotLost func()      // told while the primary shows the own slot as lost that the stream uses; nil: nobody is
	// Settings is told the primary's settings that a reload may have changed, as SHOW has them. nil: nobody is.
	Settings func(map[string]string)
	Logger   *slog.Logger
}

// Maintainer looks after the primary's slots. Methods may be called from any goroutine.
type Maintainer struct {
	o      Options
	tuning atomic.Pointer[Tuning]
	next   atomic.Uint64
	idle   atomic.Pointer[[]Idle]

	looking atomic.Pointer[looking]
	made    atomic.Pointer[server] // where the mirrors are; nil: nowhere yet
	nudge   nudge.Chan             // look soon
	changed nudge.Chan             // made has changed

	mirrored map[string]server // by slot: where Run saw its mirror at the last look

	mu    sync.Mutex
	said  map[string]string // by slot, "" for all: the last complaint
	drops map[string]Drops  // of mirrors, by somebody else
}

// New makes a Maintainer. It starts nothing.
func New(o Options) *Maintainer {
	k := &Maintainer{
		o: o, said: map[string]string{}, drops: map[string]Drops{},
		nudge: nudge.New(), changed: nudge.New(),
	}
	k.Tune(Tuning{o.Policy, o.Mirror})
	return k
}

// Tuning holds the options that may change while a Maintainer runs.
type Tuning struct {
	Policy Policy
	Mirror Mirror
}

// Tune replaces these two of [Options]. The next round of Run acts on it.
func (k *Maintainer) Tune(t Tuning) { k.tuning.Store(&t) }

// NextXID returns the primary's next transaction ID as it was seconds ago; false: never told.
func (k *Maintainer) NextXID() (copyboth.FullXID, bool) {
	x := k.next.Load()
	return copyboth.FullXID(x), x != 0
}

// Idle lists the primary's slots from which nobody streams there, other than this proxy's own. It shows the last look,
// which is at most half a minute old; nil: there was none.
func (k *Maintainer) Idle() []Idle {
	if all := k.idle.Load(); all != nil {
		return *all
	}
	return nil
}

// Find looks for a slot on the primary; false: there is none. It waits for the primary, at most askTimeout. The
// proxy's own is there whether or not the primary can be asked.
func (k *Maintainer) Find(ctx context.Context, name string) (Real, bool, error) {
	r, exists, err := k.find(ctx, name)
	if name != "" && (name == k.o.ProxySlot || name == k.o.Gate) {
		r.ProxySlot = true
		return r, true, nil
	}
	return r, exists, err
}

func (k *Maintainer) find(ctx context.Context, name string) (Real, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var to Connector = k.o.Upstream
	w, notFollowed := k.o.Following.now()
	if notFollowed == nil {
		to = verified{k.o.Upstream, w}
	}
	s, err := sql(ctx, to)
	if err != nil {
		return Real{}, false, fmt.Errorf("look for slot %q on the primary: %w", name, err)
	}
	defer s.Close()
	v, err := look(ctx, s)
	if err != nil {
		return Real{}, false, err
	}
	if notFollowed == nil {
		k.next.Store(uint64(v.next))
	}
	r, exists := v.slots[name]
	return r, exists, nil
}

// Dropped drops the primary's slot after the one here was: a mirror, or one that is kept advanced. What
// fails is logged, since such a slot holds WAL on the primary from now on.
func (k *Maintainer) Dropped(ctx context.Context, was slot.Info) {
	if was.Real == slot.NoReal || was.Real == slot.Adopted && k.tuning.Load().Policy != Advance {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := k.drop(ctx, was.Name); err != nil {
		k.o.Logger.Error("slot was dropped here, but not on the primary, where it holds WAL: drop it there",
			"slot", was.Name, "err", err)
	}
}

// Keeps reports whether the primary's slot of one that was taken over is left as it was.
func (k *Maintainer) Keeps(was slot.Info) bool {
	return was.Real == slot.Adopted && k.tuning.Load().Policy == Keep
}

func (k *Maintainer) drop(ctx context.Context, name string) error {
	w, err := k.o.Following.now()
	if err != nil {
		return err
	}
	to := verified{k.o.Upstream, w}
	s, err := sql(ctx, to)
	if err != nil {
		return err
	}
	defer s.Close()
	err = do(ctx, to, s, action{drop, name}, 0)
	if refusal := (*pgerror.Error)(nil); errors.As(err, &refusal) && refusal.Code == pgerror.UndefinedObject {
		return nil
	}
	return err
}

// Run looks after the slots until ctx ends, while there is a server that is followed.
func (k *Maintainer) Run(ctx context.Context) error {
	tick := time.NewTicker(keepTick)
	defer tick.Stop()
	var last, rest time.Time
	var looked server // at last
	for {
		w, err := k.o.Following.now()
		if err == nil && (w != looked || time.Since(last) >= k.interval() && time.Now().After(rest)) {
			last, looked = time.Now(), w
			err := k.lookAt(ctx, w)
			k.complain("", err)
			rest = restUntil(last, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-k.nudge:
		}
	}
}

// interval returns the time after a round at which the next one is due.
func (k *Maintainer) interval() time.Duration {
	tuning := k.tuning.Load()
	every := idleInterval
	if w, err := k.o.Following.now(); err == nil && !k.ready(w) {
		return keepTick - keepTick/10 // who reports there waits
	}
	for _, v := range k.o.Slots.List() {
		ours := v.Real == slot.Mirrored || v.Real == slot.Adopted && tuning.Policy != Keep
		switch {
		case v.Foreign && v.Real == slot.Mirrored && tuning.Mirror == Presence:
			every = keepInterval
		case v.Temporary || v.Foreign || !ours && tuning.Mirror == NoMirror:
		default:
			every = keepInterval
		}
	}
	return every
}

// round looks once at w and does what is to be done, over a session that ends with it (ruling R38).
func (k *Maintainer) round(ctx context.Context, w server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := sql(ctx, pinned{k.o.Upstream, w.at})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := w.verify(ctx, s); err != nil {
		return err
	}
	v, err := look(ctx, s)
	if err != nil {
		return err
	}
	k.next.Store(uint64(v.next))
	v.idle = slices.DeleteFunc(v.idle, func(i Idle) bool { return i.Name == k.o.ProxySlot || i.Name == k.o.Gate })
	k.idle.Store(&v.idle)
	if v.slots[k.o.ProxySlot].Lost && k.o.ProxySlotLost != nil && !k.o.Own.Held() {
		k.o.ProxySlotLost() // one that is held is made anew beside the stream
	}
	oldest, flushed := k.o.Store()
	if !k.o.Following.still(w) {
		return nil // or flushed is of another timeline
	}
	if k.o.Settings != nil {
		k.o.Settings(v.settings)
	}
	tuning := k.tuning.Load()
	now := situation{
		own: k.o.ProxySlot, policy: tuning.Policy, mirror: tuning.Mirror, settled: k.o.Settled(),
		apart: k.o.Own.Apart(), oldest: oldest, target: flushed,
		virtual: k.o.Slots.List(), real: v.slots,
	}
	k.countDrops(w, now.virtual, v.slots)
	lacking := false
	for _, todo := range now.decide() {
		if !k.o.Following.still(w) {
			return nil
		}
		err := k.act(ctx, verified{k.o.Upstream, w}, s, todo, flushed)
		k.complain(todo.name, err)
		lacking = lacking || err != nil && todo.verb == create
	}
	if was := k.made.Load(); !lacking && (was == nil || *was != w) {
		k.made.Store(&w)
		k.changed.Wake()
	}
	return nil
}

var errForeign = errors.New("a slot of this name that replproxy did not make exists on the primary: it is left alone")

// act takes a step; flushed is a position whose WAL the primary has.
func (k *Maintainer) act(ctx context.Context, c Connector, s *upstream.Session, a step, flushed lsn.LSN) error {
	switch a.verb {
	case foreign:
		return errForeign
	case forget:
		if _, err := k.o.Slots.SetReal(a.name, slot.NoReal); err != nil {
			return err
		}
		k.o.Logger.Warn("the primary's slot that was taken over is gone, and with it WAL that the standby needs",
			"slot", a.name)
		return nil
	case place:
		return withdraw(ctx, c, a.name, flushed, a.at)
	case create:
		if ok, err := k.o.Slots.SetReal(a.name, slot.Mirrored); err != nil || !ok {
			return err
		}
	}
	err := do(ctx, c, s, a.action, a.at)
	if refusal := (*pgerror.Error)(nil); a.verb == follow && errors.As(err, &refusal) &&
		(refusal.Code == pgerror.ObjectInUse || refusal.Code == pgerror.UndefinedObject) {
		return nil // another member was quicker
	}
	if err != nil {
		return err
	}
	switch a.verb {
	case create:
		k.o.Logger.Info("slot is mirrored on the primary", "slot", a.name)
	case clear:
		k.o.Logger.Info("the primary's slot holds nothing any more", "slot", a.name, "restart_lsn", a.at)
	case drop:
		k.o.Logger.Info("the primary's slot was dropped", "slot", a.name)
		_, err := k.o.Slots.SetReal(a.name, slot.NoReal)
		return err
	}
	return nil
}

// complain logs an error once, until it is gone, or another one by more than its positions.
func (k *Maintainer) complain(name string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := ""
	if err != nil {
		text = lsn.WithoutPositions(err.Error())
	}
	if text != "" && text != k.said[name] {
		k.o.Logger.Warn("cannot look after slots on the primary: what they hold there stays", "slot", name, "err", err)
	}
	k.said[name] = text
}
