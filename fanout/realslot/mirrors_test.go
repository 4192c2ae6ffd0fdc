package realslot

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// silent is a primary that never answers at one address, and refuses at any other.
type silent struct {
	at    upstream.Endpoint
	asked chan upstream.Endpoint
}

func (p silent) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	return p.ConnectTo(ctx, p.at, params)
}

func (p silent) ConnectTo(ctx context.Context, e upstream.Endpoint, _ map[string]string) (*upstream.Session, error) {
	p.asked <- e
	if e == p.at {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return nil, errors.New("refused")
}

// slotsWith returns a table with one slot.
func slotsWith(t *testing.T, name string, restart lsn.LSN) *slot.Table {
	t.Helper()
	slots, err := slot.Open(t.TempDir(), slot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	claim, _, err := slots.Propose(shared.Create, name, 1)
	if err == nil {
		err = slots.Create(claim, slot.Seed{Restart: restart}, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return slots
}

// TestWaitedForServerGoesFirst: the round at a primary that has died without a word ends at once when mirrors are
// waited for at the next primary. There they are tried again until they are made.
func TestWaitedForServerGoesFirst(t *testing.T) {
	slots := slotsWith(t, "a", 100)
	synctest.Test(t, func(t *testing.T) {
		dead, next := upstream.Endpoint{Host: "dead"}, upstream.Endpoint{Host: "next"}
		var promoted atomic.Bool
		p := silent{dead, make(chan upstream.Endpoint)}
		k := New(Options{Upstream: p, Slots: slots, Mirror: Presence, Policy: Advance,
			Following: func() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) {
				if promoted.Load() {
					return next, 7, 2, true
				}
				return dead, 7, 1, true
			}, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		if e := <-p.asked; e != dead {
			t.Fatal(e)
		}
		promoted.Store(true)
		began := time.Now()
		if k.Ready(next, 7, 2) {
			t.Error("nothing was made there")
		}
		if e := <-p.asked; e != next || time.Since(began) > 0 {
			t.Errorf("%s was asked after %v", e, time.Since(began))
		}
		if e := <-p.asked; e != next || time.Since(began) > 2*keepTick {
			t.Errorf("%s was asked again after %v", e, time.Since(began))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		claim, _, err := k.o.Slots.Propose(shared.Drop, "a", 1)
		if err == nil {
			err = k.o.Slots.Drop(claim, 1)
		}
		if err != nil || !k.Ready(next, 7, 2) {
			t.Error("without a slot there is none to wait for", err)
		}
	})
}

// A mirror that has gone from the server where it was at the look before was dropped by somebody else; one that a new
// primary never had was not.
func TestDroppedMirrorsAreCounted(t *testing.T) {
	k := New(Options{Logger: slog.New(slog.DiscardHandler)})
	one, two := server{system: 1, timeline: 1}, server{system: 1, timeline: 2}
	mirrored := []slot.Info{{Name: "a", Real: slot.Mirrored}, {Name: "b", Real: slot.Adopted}, {Name: "c", Real: slot.Mirrored, Foreign: true}}
	all := map[string]Real{"a": {Name: "a"}, "b": {Name: "b"}, "c": {Name: "c"}}
	for _, look := range []struct {
		at   server
		real map[string]Real
		want int64
	}{{one, all, 0}, {one, nil, 1}, {one, nil, 1}, {one, all, 1}, {two, nil, 1}, {two, all, 1}, {two, nil, 2}} {
		k.countDrops(look.at, mirrored, look.real)
		if got := k.Drops(); got["a"].N != look.want || len(got) > 1 {
			t.Errorf("%+v: %+v", look, got)
		}
	}
}
