package realslot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
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
	RuleGate  string // the slot of slots.rule_gate there, "" for none
	Slots     *slot.Table
	Policy    Policy
	Mirror    Mirror
	// Store is the oldest position of the store, and what it has flushed; Invalid: nothing yet.
	Store         func() (oldest, flushed lsn.LSN)
	Settled       func() bool // feedback is sent upstream
	Own           *ProxySlot  // holds this proxy's slot by SQL, in place of the stream; nil: the stream uses it
	ProxySlotLost func()      // told while the primary shows the stream's slot as lost; nil: nobody is
	// Settings is told the primary's settings that a reload may have changed, as SHOW has them. nil: nobody is.
	Settings func(map[string]string)
	Logger   *slog.Logger
}

// Maintainer looks after the primary's slots. Methods may be called from any goroutine. Make it with [New].
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
	if name != "" && (name == k.o.ProxySlot || name == k.o.RuleGate) {
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
