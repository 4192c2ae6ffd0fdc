package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newGate is a gate in front of a primary with walsenders enough.
func newGate(max int) *Gate {
	g := New(max)
	g.SetPrimaryMax(100)
	return g
}

// grab asks for a place in a goroutine of its own and sends its ticket when it has one.
func grab(ctx context.Context, g *Gate) <-chan *Ticket {
	c := make(chan *Ticket, 1)
	go func() {
		if t, err := g.Acquire(ctx, "a"); err == nil {
			c <- t
		}
	}()
	return c
}

func has(c <-chan *Ticket) *Ticket {
	synctest.Wait()
	select {
	case t := <-c:
		return t
	default:
		return nil
	}
}

func TestGateAdmitsInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		var waiting []<-chan *Ticket
		for range 5 {
			waiting = append(waiting, grab(t.Context(), g))
			synctest.Wait()
		}
		running := []*Ticket{has(waiting[0]), has(waiting[1])}
		for i, w := range waiting[2:] {
			if has(w) != nil {
				t.Fatalf("log-in %d runs beside two others", i+2)
			}
			g.Leave(running[i])
			next := has(w)
			if next == nil {
				t.Fatalf("log-in %d was not next", i+2)
			}
			running = append(running, next)
		}
	})
}

func TestGateHoldsLogInsWhileTheWalreceiverConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		g.WalreceiverWaiting(true)
		w := grab(t.Context(), g)
		g.WalreceiverWaiting(true)
		if has(w) != nil {
			t.Fatal("let in while the walreceiver connects")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.WaitOpen(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("waitOpen: %v", err)
		}
		g.WalreceiverWaiting(false)
		g.WalreceiverWaiting(false)
		if has(w) == nil {
			t.Fatal("not let in after the attempt")
		}
		if err := g.WaitOpen(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// The primary's last walsender is the walreceiver's.
func TestGateLeavesOneWalsenderToTheWalreceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for max, want := range map[int]int{1: 0, 2: 1, 3: 2, 10: 2, 0: 0} {
			g := newGate(2)
			g.SetPrimaryMax(max)
			if g.Limit() != want {
				t.Errorf("max_wal_senders %d: limit %d, want %d", max, g.Limit(), want)
			}
		}
		g := newGate(2)
		g.SetPrimaryMax(1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := grab(ctx, g)
		if has(w) != nil {
			t.Fatal("the only walsender was given away")
		}
		g.SetPrimaryMax(2)
		if has(w) == nil {
			t.Fatal("not let in after the limit rose")
		}
		g.SetPrimaryMax(4)
		for max, want := range map[int]int{1: 1, 3: 3, 5: 3} {
			if g.SetMax(max); g.Limit() != want {
				t.Errorf("max_wal_senders 4, max_upstream_walsenders %d: limit %d, want %d", max, g.Limit(), want)
			}
		}
	})
}

func TestGateTakesBackWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		idle, _ := g.Acquire(t.Context(), "a")
		var reclaimed atomic.Int64
		start := time.Now()
		g.Yield(idle, start.Add(time.Second), start.Add(10*time.Second), func() {
			reclaimed.Store(int64(time.Since(start)))
			g.Leave(idle)
		})
		synctest.Wait()
		time.Sleep(3 * time.Second)
		if reclaimed.Load() != 0 {
			t.Fatal("reclaimed though nobody waited")
		}
		w := grab(t.Context(), g)
		if has(w) == nil || reclaimed.Load() == 0 {
			t.Fatal("not reclaimed at once for one who waits, though overdue")
		}
	})
}

func TestGateTakesBackAtUntilThoughNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		idle, _ := g.Acquire(t.Context(), "a")
		gone := make(chan time.Duration, 1)
		start := time.Now()
		g.Yield(idle, start.Add(time.Second), start.Add(10*time.Second), func() { gone <- time.Since(start) })
		if at := <-gone; at != 10*time.Second {
			t.Fatalf("reclaimed after %v", at)
		}
		if g.Busy(idle) {
			t.Fatal("used again after it was reclaimed")
		}
		g.Leave(idle)
		if s := g.Status(); s.Running != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// One who waits costs one idle connection, not all of them; the walreceiver gets what there is.
func TestGateTakesBackNoMoreThanIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(3)
		var n atomic.Int64
		for i := range 3 {
			ticket, _ := g.Acquire(t.Context(), "a")
			g.Yield(ticket, time.Now().Add(time.Duration(i)), time.Time{}, func() { n.Add(1) })
		}
		w := grab(t.Context(), g)
		time.Sleep(time.Second)
		synctest.Wait()
		if n.Load() != 1 || has(w) != nil {
			t.Fatalf("%d reclaimed for one", n.Load())
		}
		g.WalreceiverWaiting(true)
		defer g.WalreceiverWaiting(false)
		synctest.Wait()
		if n.Load() != 3 {
			t.Fatalf("%d reclaimed for the walreceiver", n.Load())
		}
		g.SetPrimaryMax(100)
	})
}

func TestGateLendsAPlaceToABaseBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		backup, _ := g.Acquire(t.Context(), "a")
		w := grab(t.Context(), g)
		g.Lend(backup)
		other := has(w)
		if other == nil {
			t.Fatal("the place of a running base backup was not lent")
		}
		if !g.Busy(backup) || g.Status().Running != 2 {
			t.Fatalf("the connection must come back and count: %+v", g.Status())
		}
		w = grab(t.Context(), g)
		g.Leave(other)
		if has(w) != nil {
			t.Fatal("let in above the limit")
		}
		g.Leave(backup)
		if has(w) == nil {
			t.Fatal("not let in")
		}
	})
}

// However holders come, go, lend and yield: never more than the limit are let in anew, nobody who
// waits is forgotten, and the books balance at the end.
func TestGateUnderRandomLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, clients = 3, 200
		g := newGate(limit)
		src := rand.New(rand.NewPCG(1, 2))
		upTo := func(d time.Duration) time.Duration { return time.Duration(src.Int64N(int64(d))) }
		var inside, served atomic.Int64
		var wg sync.WaitGroup
		for range clients {
			arrive, work, idle := upTo(time.Second), upTo(50*time.Millisecond), upTo(2*time.Second)
			patience := 10*time.Second + upTo(200*time.Second)
			wg.Go(func() {
				time.Sleep(arrive)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				ticket, err := g.Acquire(ctx, "a")
				if err != nil {
					return
				}
				defer g.Leave(ticket)
				if n := inside.Add(1); n > limit {
					t.Errorf("%d log-ins at a time", n)
				}
				time.Sleep(work)
				gone := make(chan struct{})
				g.Yield(ticket, time.Now().Add(idle/2), time.Now().Add(idle), func() { close(gone) })
				<-gone
				inside.Add(-1)
				served.Add(1)
			})
		}
		for range 20 {
			g.WalreceiverWaiting(true)
			time.Sleep(upTo(300 * time.Millisecond))
			g.WalreceiverWaiting(false)
			time.Sleep(upTo(time.Second))
		}
		wg.Wait()
		if s := g.Status(); s.Running != 0 || s.Waiting != 0 || g.core.leaving != 0 {
			t.Fatalf("left behind: %+v, leaving %d", s, g.core.leaving)
		}
		if served.Load() < clients/2 {
			t.Fatalf("only %d of %d were served", served.Load(), clients)
		}
	})
}

// TestGateAddressesTakeTurns: a crowd from one address delays another by one turn, not by its length.
func TestGateAddressesTakeTurns(t *testing.T) {
	c := newCore(1)
	arrive := func(from string) *Ticket {
		tk := &Ticket{from: from}
		c.enqueue(tk)
		return tk
	}
	for range 100 {
		arrive("crowd")
	}
	var order []string
	running := c.step(time.Time{}).grant
	b1, b2 := arrive("b"), arrive("b")
	arrive("c")
	for len(running) > 0 && len(order) < 8 {
		order = append(order, running[0].from)
		c.leave(running[0])
		running = c.step(time.Time{}).grant
	}
	if got, want := strings.Join(order, " "), "crowd b c crowd b crowd crowd crowd"; got != want {
		t.Errorf("granted %s, want %s", got, want)
	}
	if b1.state != ticketDone || b2.state != ticketDone {
		t.Error("somebody of address b was passed over")
	}
	c.step(time.Unix(0, 0))
	c.step(time.Unix(0, 0).Add(halving))
	if len(c.usage.of) > 1 {
		t.Errorf("remembers %v of addresses that do not wait", c.usage.of)
	}
}
