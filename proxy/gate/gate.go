package gate

import (
	"context"
	"math"
	"sync"
	"time"
)

// Gate lets log-ins through to the primary a few at a time. Client addresses take turns; those of one address come in
// order of arrival, unless its clients sit on their places. Make it with [New]. Safe for concurrent use. It starts no
// goroutine; one timer runs while something is due.
type Gate struct {
	mu    sync.Mutex
	max   int // what the operator allows
	most  int // what the primary leaves
	core  *core
	ours  bool          // log-ins had connections when the walreceiver began to wait
	open  chan struct{} // closed while the walreceiver does not wait
	timer *time.Timer
}

// New admits at most max at a time.
func New(max int) *Gate {
	g := &Gate{max: max, most: math.MaxInt, core: newCore(max), open: make(chan struct{})}
	close(g.open)
	return g
}

// SetPrimaryMax tells the primary's max_wal_senders, for a gate whose log-ins take one each. One of them is
// left to the walreceiver.
func (g *Gate) SetPrimaryMax(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(0, n-1)
	g.limitLocked()
	g.stepLocked()
}

// SetMax changes the bound that [New] was given. Log-ins that are beyond a lower one go on.
func (g *Gate) SetMax(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.max = n
	g.limitLocked()
	g.stepLocked()
}

func (g *Gate) limitLocked() {
	g.core.limit = min(g.max, g.most)
	g.core.spare = g.most - g.core.limit
}

// Limit returns the number of log-ins that may run now; 0 when the primary has no walsender to spare.
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
	if waiting {
		g.ours = g.core.connected() > 0
	}
	g.walreceiverLocked(waiting)
}

// WalreceiverRefused tells that the primary had no walsender for the walreceiver. When log-ins of ours have some it
// goes on waiting before all of them. When none has, that has nothing to do with us, and clients hear it from the
// primary (ruling R31).
func (g *Gate) WalreceiverRefused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.walreceiverLocked(g.ours || g.core.connected() > 0)
}

func (g *Gate) walreceiverLocked(waiting bool) {
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

// Acquire waits for a place for a client of address from. The caller calls Leave once it holds no
// connection any more.
func (g *Gate) Acquire(ctx context.Context, from string) (*Ticket, error) {
	t := g.Enter(from, "")
	if err := g.Wait(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Enter begins to wait for a place for a client of address from that wants database to, "" for none. The caller
// calls Leave, also when it does not get a place.
func (g *Gate) Enter(from, to string) *Ticket {
	t := &Ticket{from: from, to: to, granted: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.at(time.Now())
	g.core.enqueue(t)
	g.stepLocked()
	return t
}

// Wait blocks until t has its place. When ctx ends first it gives t up and returns the cause.
func (g *Gate) Wait(ctx context.Context, t *Ticket) error {
	select {
	case <-t.granted: // whatever ctx says
		return nil
	default:
	}
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
		g.Leave(t)
		return context.Cause(ctx)
	}
}

// Granted returns a channel that is closed once t has had its place.
func (t *Ticket) Granted() <-chan struct{} { return t.granted }

// Last lets all others go first that wait: the client of t may have left.
func (g *Gate) Last(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.last = true
}

// WaitOpen waits until the walreceiver does not wait: who holds a place but no connection asks
// before it dials again.
func (g *Gate) WaitOpen(ctx context.Context) error {
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

// Status is the gate at one moment.
type Status struct {
	Limit    int  // how many log-ins may run at a time
	Running  int  // how many do
	Answered int  // how many more wait for the primary, their clients having answered
	Apart    int  // how many more have a connection that can be spared, and are no strangers
	Waiting  int  // how many wait for a place
	Held     bool // the walreceiver connects: nobody is let in
}

// Status returns the gate now.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Status{
		Limit: g.core.limit, Running: g.core.counted.n, Answered: g.core.answered.n,
		Apart: g.core.apart, Waiting: len(g.core.queue), Held: g.core.walreceiver,
	}
}
