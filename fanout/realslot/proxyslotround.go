package realslot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// proxySlotDue decides when the next look at this proxy's slot is due. At another server it is at once. Otherwise it is
// proxySlotInterval after the last one, earlier once proxySlotBytes more are flushed, or something is to be told. A
// server that stops is left alone for a while. The zero value has looked nowhere. It is pure.
type proxySlotDue struct {
	last, rest time.Time
	of         server
	flushed    lsn.LSN
}

func (d *proxySlotDue) due(now time.Time, w server, flushed lsn.LSN, tell bool) bool {
	switch {
	case w != d.of:
		return true
	case now.Before(d.rest):
		return false
	}
	return now.Sub(d.last) >= proxySlotInterval || flushed >= d.flushed+proxySlotBytes || tell
}

func (d *proxySlotDue) asked(now time.Time, w server, flushed lsn.LSN, err error) {
	d.last, d.of, d.flushed, d.rest = now, w, flushed, restUntil(now, err)
	if errors.Is(err, errTell) {
		d.rest = now.Add(proxySlotInterval)
	}
}

// errTell: the slot could not be told what it is to bear. It holds back WAL all the same.
var errTell = errors.New("what standbys' slots need of the primary is not borne by the slot there")

// round looks once, and does what is to be done, over a session that ends with it (ruling R38).
func (o *ProxySlot) round(ctx context.Context, w server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	give, err := o.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	s, err := o.connect(ctx, w.at)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := w.verify(ctx, s); err != nil {
		return err
	}
	own, err := o.look(ctx, s)
	if err != nil {
		return err
	}
	target := own.target(o.o.Flushed(), o.forsaken())
	if !o.holds(w.at) || !o.o.Following.still(w) {
		return nil // or target is of another timeline
	}
	if own, err = o.move(ctx, w, s, own, target); err != nil {
		return err
	}
	o.last = own
	told, err := o.tell(ctx, verified{o.o.Upstream, w}, own, false)
	if err != nil {
		err = fmt.Errorf("%w: %w", errTell, err)
	}
	if told {
		o.last, err = o.look(ctx, s)
	}
	if o.o.RuleGate != nil {
		err = errors.Join(err, o.o.RuleGate.round(ctx, s, own, o.elsewhere()))
	}
	return err
}

// move puts the slot where it belongs, and tells what it is then.
func (o *ProxySlot) move(
	ctx context.Context, w server, s *upstream.Session, own shownSlot, target lsn.LSN,
) (shownSlot, error) {
	switch a := own.decide(target); a {
	case none:
		return own, nil
	case foreign:
		return own, errNotOurs(o.o.Slot, own)
	case create:
		return o.recreate(ctx, s, own)
	case place:
		if err := moment(ctx, verified{o.o.Upstream, w}, o.o.Slot, target, position(target)); err != nil {
			return own, fmt.Errorf("put the slot where the store ends, %s, as the primary must keep WAL from there: %w",
				target, err)
		}
	default:
		if err := do(ctx, nil, s, action{a, o.o.Slot}, max(target, own.Restart)); err != nil {
			return own, err
		}
	}
	return o.look(ctx, s) // the status is what came of it
}

// where returns the server that is followed, and whether the slot is held there. An error: the stream is about to
// begin, or to end.
func (o *ProxySlot) where() (w server, held bool, err error) {
	w, err = o.o.Following.now()
	return w, err == nil && o.holds(w.at), err
}

func (o *ProxySlot) holds(at upstream.Endpoint) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held && o.at == at
}

// pinned is a Connector to one server.
type pinned struct {
	d Dialer
	e upstream.Endpoint
}

func (p pinned) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	return p.d.ConnectTo(ctx, p.e, params)
}

func (o *ProxySlot) connect(ctx context.Context, e upstream.Endpoint) (*upstream.Session, error) {
	return sql(ctx, pinned{o.o.Upstream, e})
}

// complain shows an error, and logs it once, until it is gone, or another one by more than its positions. A slot that
// can't be told what to bear is another matter than one that can't be moved.
func (o *ProxySlot) complain(ctx context.Context, err error) {
	text, tell := "", errors.Is(err, errTell)
	if err != nil && ctx.Err() == nil {
		text = pgerror.Describe(err)
	}
	moves, tells := text, ""
	if tell {
		moves, tells = "", text
	}
	o.mu.Lock()
	said := o.status.Err
	if tell {
		said = o.status.TellErr
	}
	o.status.Err, o.status.TellErr = moves, tells
	o.mu.Unlock()
	switch {
	case text == "" || lsn.WithoutPositions(text) == lsn.WithoutPositions(said):
	case tell:
		o.o.Logger.Warn("the slot on the primary does not bear what standbys' slots need: that ends with the stream",
			"slot", o.o.Slot, "err", text)
	default:
		o.o.Logger.Warn("cannot advance the slot on the primary, which keeps WAL for it", "slot", o.o.Slot, "err", text)
	}
}
