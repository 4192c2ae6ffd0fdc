package physical

import (
	"context"
	"sync"
	"time"
)

// DefaultMaxUpstreamWalsenders is how many log-ins of walsenders may hold a connection to the
// primary at a time (auth.max_upstream_walsenders): each takes a walsender there before it has
// proved anything (facts A6), and the primary has ten by default.
const DefaultMaxUpstreamWalsenders = 2

// Gate lets log-ins of walsenders through to the primary a few at a time, and the walreceiver before
// all of them (ruling R13). Client addresses take turns; those of one address come in order of
// arrival. Safe for concurrent use. It starts no goroutine; one timer runs while something is due.
type Gate struct {
	mu    sync.Mutex
	max   int // what the operator allows
	most  int // what the primary leaves
	core  *gateCore
	open  chan struct{} // closed while the walreceiver does not wait
	timer *time.Timer
}

// NewGate admits at most max log-ins at a time; below 1 means [DefaultMaxUpstreamWalsenders]. Until
// SetPrimaryMax has been called it is one: the primary may have no more than two walsenders.
func NewGate(max int) *Gate {
	if max < 1 {
		max = DefaultMaxUpstreamWalsenders
	}
	g := &Gate{max: max, most: 1, core: newGateCore(1), open: make(chan struct{})}
	close(g.open)
	return g
}

// SetPrimaryMax tells the primary's max_wal_senders. One of them is left to the walreceiver.
func (g *Gate) SetPrimaryMax(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(0, n-1)
	g.core.limit = min(g.max, g.most)
	g.stepLocked()
}

// SetMax changes what [NewGate] was told. Log-ins that are beyond a lower one go on.
func (g *Gate) SetMax(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.max = n
	g.core.limit = min(g.max, g.most)
	g.stepLocked()
}

// Limit is how many log-ins may run at a time now; 0 when the primary has no walsender to spare.
func (g *Gate) Limit() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.core.limit
}

// WalreceiverWaiting tells that the walreceiver is about to dial, or still wants a walsender of the
// primary (true), or that it has one or does not try now (false). While it waits no log-in starts, and
// connections that can be spared are closed. It never blocks; saying the same twice changes nothing.
func (g *Gate) WalreceiverWaiting(waiting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if waiting == g.core.walreceiver {
		return
	}
	if g.core.walreceiver = waiting; waiting {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
	g.stepLocked()
}

// acquire waits for a place for a client of address from. The caller calls leave once it holds no
// connection any more.
func (g *Gate) acquire(ctx context.Context, from string) (*ticket, error) {
	t := &ticket{from: from, granted: make(chan struct{})}
	g.mu.Lock()
	g.core.enqueue(t)
	g.stepLocked()
	g.mu.Unlock()
	select {
	case <-t.granted:
		return t, nil
	case <-ctx.Done():
		g.leave(t)
		return nil, context.Cause(ctx)
	}
}

// waitOpen waits until the walreceiver does not wait: who holds a place but no connection asks
// before it dials again.
func (g *Gate) waitOpen(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// yield says that the holder can be spared: reclaim is called, once and in its own goroutine, after
// due if somebody waits, and at until in any case (zero: never). A ticket that is on its way out stays so.
func (g *Gate) yield(t *ticket, due, until time.Time, reclaim func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.state != ticketBusy && t.state != ticketLent && t.state != ticketYielding {
		return
	}
	g.core.set(t, ticketYielding)
	t.due, t.until, t.reclaim = due, until, reclaim
	g.stepLocked()
}

// busy takes the offer of yield back. It reports false when the place has been reclaimed.
func (g *Gate) busy(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.state != ticketBusy && t.state != ticketYielding && t.state != ticketLent {
		return false
	}
	g.core.set(t, ticketBusy)
	g.stepLocked()
	return true
}

// lend frees the place for others while the holder keeps its connection for a base backup.
func (g *Gate) lend(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.state == ticketBusy {
		g.core.set(t, ticketLent)
		g.stepLocked()
	}
}

// leave gives the place back for good.
func (g *Gate) leave(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.leave(t)
	g.stepLocked()
}

// stepLocked asks the core and does what it says.
func (g *Gate) stepLocked() {
	now := time.Now()
	d := g.core.step(now)
	for _, t := range d.grant {
		close(t.granted)
	}
	for _, t := range d.reclaim {
		f := t.reclaim
		g.core.set(t, ticketReclaimed)
		go f()
	}
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if !d.wake.IsZero() {
		g.timer = time.AfterFunc(d.wake.Sub(now), func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.stepLocked()
		})
	}
}

// GateStatus is the gate at one moment.
type GateStatus struct {
	Limit   int  // how many log-ins may run at a time
	Running int  // how many do
	Waiting int  // how many wait for a place
	Held    bool // the walreceiver connects: nobody is let in
}

// Status is the gate now.
func (g *Gate) Status() GateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStatus{
		Limit: g.core.limit, Running: g.core.counted,
		Waiting: len(g.core.queue), Held: g.core.walreceiver,
	}
}
