package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/replproxy/replproxy/internal/crowd"
	"github.com/replproxy/replproxy/proxy/gate"
)

const (
	// maxCancels bounds the cancel requests under way at once whose key was issued here. Each costs a short connection
	// to the primary, which forks for it: the primary must not feel a flood.
	maxCancels = 16
	// maxStrangeCancels bounds those whose key nobody here knows. Anybody can send them.
	maxStrangeCancels = 4
	// maxCancelsWaiting bounds the requests of either kind that wait for their turn. Beyond it one is dropped, which a
	// client cannot tell from a request that matched nothing.
	maxCancelsWaiting = 256
)

var errCancelDropped = fmt.Errorf("cancel request dropped: %d are waiting already", maxCancelsWaiting)

// cancelTurns bounds cancel requests under way and waiting. Addresses take turns, and when too many wait the oldest one
// is dropped of the address that has most. Make it with newCancelTurns.
type cancelTurns struct {
	gate *gate.Gate

	mu      sync.Mutex
	waiting crowd.Crowd[context.CancelCauseFunc, string]
}

func newCancelTurns(running int) *cancelTurns { return &cancelTurns{gate: gate.New(running)} }

// take blocks until it is the turn of a request from an address; done gives it back.
func (t *cancelTurns) take(ctx context.Context, from string) (done func(), err error) {
	ctx, drop := context.WithCancelCause(ctx)
	defer drop(nil)
	t.mu.Lock()
	if t.waiting.Len() >= maxCancelsWaiting {
		victim := t.waiting.Victim(nil)
		t.waiting.Remove(victim)
		victim.Value(errCancelDropped)
	}
	place := t.waiting.Add(drop, from)
	t.mu.Unlock()
	ticket, err := t.gate.Acquire(ctx, from)
	t.mu.Lock()
	t.waiting.Remove(place)
	t.mu.Unlock()
	switch {
	case errors.Is(err, errCancelDropped):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("wait for other cancel requests: %w", err)
	}
	return func() { t.gate.Leave(ticket) }, nil
}
