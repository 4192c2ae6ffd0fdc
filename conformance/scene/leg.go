package scene

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Weather tells how a leg passes what it is given. The zero value passes everything at once.
type Weather struct {
	Delay, Jitter time.Duration // one way; the order is kept
	Rate          int           // bytes a second and direction; 0: any
	Stall         bool          // nothing moves, and nothing is lost: TCP over a cut that will end
	Hole          bool          // what comes is lost, and nobody is told; what has lost a byte stays dead for ever
}

// Bounds of a leg: what is on its way in one direction of one connection, and one read.
const (
	legQueue = 128
	legPiece = 32 << 10
)

// Leg is a network in user space: a port that leads to an address, through weather. It ends with its test.
type Leg struct {
	Port int
	to   string
	all  sync.WaitGroup

	mu      sync.Mutex
	seed    *rand.Rand
	weather Weather
	changed chan struct{} // closed at the next change
	pairs   map[*pair]bool
	ended   bool
}

// pair is one connection through a leg.
type pair struct {
	ends  [2]*net.TCPConn
	last  time.Time
	dead  bool // forgotten: nothing passes any more, and nobody is told
	ended bool
}

// NewLeg opens a leg to an address. Jitter is drawn by seed.
func NewLeg(t testing.TB, to string, seed uint64) *Leg {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Leg{
		Port: l.Addr().(*net.TCPAddr).Port, to: to, seed: rand.New(rand.NewPCG(seed, 0)),
		changed: make(chan struct{}), pairs: map[*pair]bool{},
	}
	g.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.all.Go(func() { g.serve(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		g.mu.Lock()
		g.ended = true
		g.changeLocked()
		g.endLocked(false)
		g.mu.Unlock()
		g.all.Wait()
	})
	return g
}

// LegTo returns a leg to a port of this machine, as NewLeg does.
func LegTo(t testing.TB, port int, seed uint64) *Leg {
	return NewLeg(t, fmt.Sprintf("127.0.0.1:%d", port), seed)
}

// Set changes the weather, of what is on its way too.
func (g *Leg) Set(w Weather) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.weather = w; w.Hole {
		g.forgetLocked(0)
	}
	g.changeLocked()
}

// For sets a weather, waits for so long and clears it.
func (g *Leg) For(d time.Duration, w Weather) {
	g.Set(w)
	time.Sleep(d)
	g.Set(Weather{})
}

// Forget makes the connections that have been idle for so long dead, as a NAT does: nobody is told, and new ones are
// made as ever. It returns how many.
func (g *Leg) Forget(idle time.Duration) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.forgetLocked(idle)
}

func (g *Leg) forgetLocked(idle time.Duration) (n int) {
	for p := range g.pairs {
		if !p.dead && time.Since(p.last) >= idle {
			p.dead = true
			n++
		}
	}
	return n
}

// Reset ends all connections by RST.
func (g *Leg) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endLocked(true)
	g.changeLocked()
}

func (g *Leg) endLocked(reset bool) {
	for p := range g.pairs {
		p.ended = true
		for _, c := range p.ends {
			if c == nil {
				continue
			}
			if reset {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		}
	}
}

func (g *Leg) changeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *Leg) serve(client *net.TCPConn) {
	defer client.Close()
	p := &pair{ends: [2]*net.TCPConn{client, nil}, last: time.Now()}
	g.mu.Lock()
	if g.ended {
		g.mu.Unlock()
		return
	}
	g.pairs[p] = true
	p.dead = g.weather.Hole
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.pairs, p)
		g.mu.Unlock()
	}()
	if !g.pass(p, time.Time{}) { // a connection is not made before a packet passes
		return
	}
	conn, err := net.Dial("tcp", g.to)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	g.mu.Lock()
	p.ends[1] = server
	ended := p.ended || g.ended
	g.mu.Unlock()
	if ended {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.flow(p, client, server) })
	both.Go(func() { g.flow(p, server, client) })
	both.Wait()
}

// piece holds the bytes of one read; the last one of a direction has an end.
type piece struct {
	data []byte
	due  time.Time
	end  bool
}

// flow passes one direction.
func (g *Leg) flow(p *pair, from, to *net.TCPConn) {
	queue := make(chan piece, legQueue)
	var writer sync.WaitGroup
	writer.Go(func() {
		broken := false
		for q := range queue {
			switch {
			case broken || !g.pass(p, q.due):
				broken = true
			case q.end:
				_ = to.CloseWrite()
			default:
				if _, err := to.Write(q.data); err != nil {
					broken = true
					_ = from.SetLinger(0) // the other end is gone: so is this one
					_ = from.Close()
				}
			}
		}
	})
	var due time.Time
	buf := make([]byte, legPiece)
	for {
		n, err := from.Read(buf)
		due = g.due(p, n, due)
		if n > 0 {
			queue <- piece{data: append([]byte(nil), buf[:n]...), due: due}
		}
		if err != nil {
			queue <- piece{end: true, due: due}
			break
		}
	}
	close(queue)
	writer.Wait()
}

// due returns the time at which what was read now arrives, behind what was read before.
func (g *Leg) due(p *pair, n int, before time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.weather
	p.last = time.Now()
	at := p.last.Add(w.Delay)
	if w.Jitter > 0 {
		at = at.Add(time.Duration(g.seed.Int64N(int64(w.Jitter))))
	}
	if at.Before(before) {
		at = before
	}
	if w.Rate > 0 {
		at = at.Add(time.Duration(n) * time.Second / time.Duration(w.Rate))
	}
	return at
}

// pass waits until due, and for as long as the leg stalls. It reports false when the connection is over, and never
// returns for one that is dead before that.
func (g *Leg) pass(p *pair, due time.Time) bool {
	for {
		g.mu.Lock()
		over, held, changed := p.ended || g.ended, g.weather.Stall || p.dead, g.changed
		g.mu.Unlock()
		wait := time.Until(due)
		switch {
		case over:
			return false
		case held:
			wait = time.Hour
		case wait <= 0:
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}
