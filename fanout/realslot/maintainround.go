package realslot

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Run looks after the slots while there is a server that is followed, until ctx ends, then returns nil. What fails is
// logged, and tried at a later look.
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
	v.idle = slices.DeleteFunc(v.idle, func(i Idle) bool { return i.Name == k.o.ProxySlot || i.Name == k.o.RuleGate })
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

// act takes a step at the server that c and s lead to; flushed is a position whose WAL the primary has. It blocks for
// the server and the disk. errForeign: the slot is somebody else's.
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
