package realslot

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// looking is a round that goes on.
type looking struct {
	at   server
	stop context.CancelCauseFunc
}

// lookAt makes a round that ends as soon as another server's mirrors are waited for: one that has died without a word
// would answer nothing for askTimeout.
func (k *Maintainer) lookAt(ctx context.Context, w server) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	k.looking.Store(&looking{w, stop})
	defer k.looking.Store(nil)
	return k.round(ctx, w)
}

// Ready reports whether the mirrors of all slots have been made on a server and timeline, or none is
// wanted. What is not ready is looked after soon, if that server is followed.
func (k *Maintainer) Ready(e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID) bool {
	w := server{e, system, t}
	ready := k.ready(w)
	if !ready {
		if l := k.looking.Load(); l != nil && l.at != w {
			l.stop(errNotFollowed)
		}
		k.nudge.Wake()
	}
	return ready
}

func (k *Maintainer) ready(w server) bool {
	made := k.made.Load()
	return made != nil && *made == w || !k.mirrors()
}

// Changed has room for one token and gets it when Ready has become true.
func (k *Maintainer) Changed() <-chan struct{} { return k.changed }

// mirrors reports whether any slot is to be mirrored.
func (k *Maintainer) mirrors() bool {
	return k.tuning.Load().Mirror == Presence && slices.ContainsFunc(k.o.Slots.List(), func(v slot.Info) bool {
		return !v.Temporary && v.Name != k.o.ProxySlot && !v.Foreign
	})
}

// countDrops compares the mirrors with those of the look before. One that has gone from the same server was dropped by
// somebody else, because a slot that we drop is no mirror any more. Only Run calls it.
func (k *Maintainer) countDrops(w server, virtual []slot.Info, real map[string]Real) {
	seen := map[string]server{}
	for _, v := range virtual {
		if v.Real != slot.Mirrored || v.Foreign {
			continue
		}
		if _, exists := real[v.Name]; exists {
			seen[v.Name] = w
		} else if k.mirrored[v.Name] == w {
			k.mu.Lock()
			d := k.drops[v.Name]
			say := d.add(time.Now())
			k.drops[v.Name] = d
			k.mu.Unlock()
			if say {
				k.o.Logger.Warn(DroppedBySomebody, "slot", v.Name)
			}
		}
	}
	k.mirrored = seen
}

// Drops returns the mirrors that somebody else dropped since the start, by name.
func (k *Maintainer) Drops() map[string]Drops {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.drops)
}
