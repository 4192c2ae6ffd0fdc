package walreceiver

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// given has the positions that a rule of the test's own lets be reported.
type given struct {
	lsn.Progress
	ruled bool
}

// rule is a Quorum of the test's own.
type rule struct {
	mu      sync.Mutex
	now     given
	changed chan struct{}
}

func newRule(g given) *rule { return &rule{now: g, changed: make(chan struct{}, 1)} }

func (r *rule) Reportable() (lsn.Progress, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now.Progress, r.now.ruled
}

func (r *rule) Changed() <-chan struct{} { return r.changed }

func (r *rule) set(g given) {
	r.mu.Lock()
	r.now = g
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// upTo covers write and flush up to at.
func upTo(at lsn.LSN) given { return given{lsn.Progress{Write: at, Flush: at}, true} }

// Every condition of R11 is needed, and then exactly the end is reported, at once, and not promised.
func TestShutdownRelease(t *testing.T) {
	shutdown := func() view {
		v := at(1000, 1000, 1000)
		v.limits, v.ruled, v.checkpoint, v.pings, v.pingEnd = upTo(700).Progress, true, 1000, 1, 1000
		return v
	}
	for name, change := range map[string]func(*view){
		"no ping":                            func(v *view) { v.pings, v.pingEnd = 0, 0 },
		"the ping came before the record":    func(v *view) { v.pingEnd = 900 },
		"no checkpoint":                      func(v *view) { v.checkpoint = 0 },
		"the checkpoint is not the end":      func(v *view) { v.checkpoint = 900 },
		"own flush is behind":                func(v *view) { v.flushed = 999 },
		"received is behind this connection": func(v *view) { v.received = 999 },
	} {
		c, v := newCore(), shutdown()
		change(&v)
		if a := step(t, c, 0, v); a.Report.Flush != 700 || a.Release {
			t.Errorf("%s: %+v", name, a)
		}
	}
	c, v := newCore(), shutdown()
	before := v
	before.pings, before.pingEnd = 0, 0
	step(t, c, 0, before)
	a := step(t, c, time.Millisecond, v)
	if !a.Send || a.Report != (lsn.Progress{Write: 1000, Flush: 1000, Apply: 0}) || !a.Release || a.Promise != 700 {
		t.Errorf("%+v", a)
	}
	v.pings++
	if a := step(t, c, 2*time.Millisecond, v); !a.Send || a.Release || a.Promise != 700 {
		t.Errorf("the next ping: %+v", a)
	}
	v.received, v.written, v.flushed = 2000, 2000, 2000 // it was the end of crash recovery: WAL goes on
	if a := step(t, c, time.Second, v); a.Report != (lsn.Progress{Write: 1000, Flush: 1000, Apply: 0}) || a.Release {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestNothingIsWithheldFromAStandby(t *testing.T) {
	c, v := newCore(), at(1000, 900, 800)
	c.recovery, v.limits, v.ruled = true, lsn.Progress{Write: 100, Flush: 100, Apply: 50}, true
	if a := step(t, c, 0, v); a.Report != (lsn.Progress{Write: 900, Flush: 800, Apply: 50}) || a.Promise != 0 || a.Release {
		t.Errorf("%+v", a)
	}
}

// history is a random course of connections, timelines, quorum, disk and pings against one core at a time. It works out
// which reports rulings R11 and R12 allow, apart from the core's own decisions.
type history struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	now  time.Time
	c    *core
	v    view

	last    lsn.Progress
	floor   lsn.LSN
	covered lsn.Progress // the most that was covered at one of this connection's steps
	ruled   lsn.LSN      // the same while there was a rule, over all connections and short of accepted forks
	promise lsn.LSN      // what came of action.Promise
	pinged  time.Time
}

func (h *history) connect() {
	h.c = newCore()
	h.c.sent, h.c.heard = h.now, h.now
	h.c.recovery = h.rnd.IntN(8) == 0
	h.floor = lsn.LSN(h.rnd.IntN(int(h.v.flushed) + 1))
	h.c.floor = h.floor
	// The stream begins at the start of a segment: what is stored comes again.
	h.v.received -= lsn.LSN(h.rnd.IntN(int(min(h.v.received, 400) + 1)))
	h.v.pings, h.v.pingEnd, h.v.checkpoint = 0, 0, 0
	h.last, h.covered, h.pinged = lsn.Progress{}, lsn.Progress{}, time.Time{}
}

// fork is a new timeline on the same connection, or on a new one where more was said.
func (h *history) fork() {
	fork := h.v.received - lsn.LSN(h.rnd.IntN(int(min(h.v.received, 100)+1)))
	h.v.received, h.v.written, h.v.flushed = fork, fork, fork
	h.v.checkpoint = 0
	h.ruled, h.promise = min(h.ruled, fork), min(h.promise, fork) // the operator has accepted it
	if h.c.said() > fork {
		h.connect()
		h.v.received = min(h.v.received, fork)
		return
	}
	h.c.carry(fork)
	h.c.recovery = h.c.recovery && h.rnd.IntN(2) == 0
	h.floor = min(h.floor, fork)
	h.covered = lsn.Progress{Write: min(h.covered.Write, fork), Flush: min(h.covered.Flush, fork), Apply: min(h.covered.Apply, fork)}
}

func (h *history) event() {
	some := func() lsn.LSN { return lsn.LSN(h.rnd.IntN(200)) }
	switch v := &h.v; h.rnd.IntN(13) {
	case 0, 1, 2:
		if n := some(); n > 0 {
			v.received, v.checkpoint = v.received+n, 0
		}
	case 3:
		v.written = max(v.written, min(v.received, v.written+some()))
	case 4, 5:
		v.written = max(v.written, v.received)
		v.flushed = v.written
	case 6:
		p := lsn.Progress{Write: v.flushed + some(), Flush: max(v.flushed, 100) - 100 + some(), Apply: some() * 20}
		v.limits, v.ruled = p, h.rnd.IntN(4) > 0
	case 7:
		g := []given{{Progress: unlimited()}, {}, upTo(0), upTo(v.received)}[h.rnd.IntN(4)]
		v.limits, v.ruled = g.Progress, g.ruled
	case 8:
		v.pings, v.pingEnd = v.pings+1, v.received-min(v.received, some()/50)
		if h.pinged.IsZero() {
			h.pinged = h.now
		}
	case 9:
		v.checkpoint = v.received
	case 10:
		h.connect()
	case 11:
		h.fork()
	case 12:
		v.written, v.flushed, v.checkpoint = max(v.written, v.received), max(v.flushed, v.received), v.received
		v.pings, v.pingEnd = v.pings+1, v.received
	}
}

func (h *history) step() {
	limits := h.v.limits
	if h.c.recovery {
		limits.Write, limits.Flush = noLimit, noLimit
	}
	allowed := lsn.Progress{
		Write: min(h.v.written, h.v.received, limits.Write),
		Flush: min(h.v.flushed, h.v.received, limits.Flush),
		Apply: min(h.v.flushed, h.v.received, limits.Apply),
	}
	h.v.heard = h.now
	a, err := h.c.step(h.now, h.v)
	if err != nil {
		h.t.Fatalf("seed %d: %v", h.seed, err)
	}
	if !a.Send {
		if h.c.last != (lsn.Progress{}) && !h.pinged.IsZero() && h.now.Sub(h.pinged) > h.c.senderTimeout/4 {
			h.t.Fatalf("seed %d: a ping is not answered", h.seed)
		}
		return
	}
	h.pinged = time.Time{}
	h.covered = lsn.Progress{Write: max(h.covered.Write, allowed.Write), Flush: max(h.covered.Flush, allowed.Flush),
		Apply: max(h.covered.Apply, allowed.Apply)}
	if h.v.ruled && !h.c.recovery {
		h.ruled = max(h.ruled, allowed.Write, allowed.Flush, allowed.Apply)
	}
	r, end := a.Report, h.v.received
	bad := ""
	switch shutdown := h.v.checkpoint == end && h.v.pingEnd == end && h.v.pings > 0 && h.v.flushed >= end; {
	case r.Write < h.last.Write || r.Flush < h.last.Flush || r.Apply < h.last.Apply:
		bad = "goes back"
	case max(r.Write, r.Flush, r.Apply) > end:
		bad = "was not received here"
	case r.Write > h.v.written || r.Flush > h.v.flushed || r.Apply > h.v.flushed:
		bad = "is not in the store"
	case r.Flush != 0 && h.last.Flush == 0 && r.Flush < h.floor:
		bad = "is below the slot"
	case r.Apply > h.covered.Apply:
		bad = "applies what the rule does not cover"
	case shutdown && r.Write == end && (r.Flush == end || r.Flush == 0 && end < h.floor):
	case r.Flush > max(h.covered.Flush, h.last.Flush) || r.Write > max(h.covered.Write, h.last.Write):
		bad = "is beyond the rule"
	}
	h.promise = max(h.promise, a.Promise)
	if h.promise != h.ruled {
		bad = "and promise is not the highest that a rule covered"
	}
	if bad != "" {
		h.t.Fatalf("seed %d: %+v after %+v %s: promise %s expected %s, %+v", h.seed, a, h.last, bad, a.Promise, h.ruled, h.v)
	}
	h.last = r
}

// TestReportsObeyTheRulings: R11 and R12 in 1,000 random histories.
func TestReportsObeyTheRulings(t *testing.T) {
	releases := 0
	for seed := range uint64(1000) {
		h := &history{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 2)), now: t0}
		h.v = at(1000, 1000, 1000)
		h.connect()
		for range 300 {
			h.now = h.now.Add(time.Duration(h.rnd.IntN(300)) * time.Millisecond)
			h.event()
			before := h.last.Flush
			h.step()
			if h.last.Flush > max(before, h.covered.Flush) {
				releases++
			}
		}
	}
	if releases < 100 {
		t.Errorf("R11 was met %d times only", releases)
	}
}

func TestPromiseNarrows(t *testing.T) {
	m := new(promises)
	p := newPromise(m)
	cover := func(at lsn.LSN, now time.Time) {
		t.Helper()
		if err := p.cover(at, now); err != nil || p.highest() < at {
			t.Fatal(p.highest(), err)
		}
	}
	cover(100, t0)
	cover(200, t0.Add(time.Second))
	if got := p.narrowAt(300); got != t0.Add(time.Second+narrowAfter) {
		t.Errorf("narrows at %v", got)
	}
	if got := p.narrowAt(200); got != t0.Add(time.Second+narrowAfter) {
		t.Errorf("all that is received was reported, and is named by its bytes at %v", got)
	}
	if err := p.rest(200); err != nil || m.promised != walstore.PromisedAll || m.fsyncs != 2 {
		t.Errorf("%s after %d fsyncs, %v", m.promised, m.fsyncs, err)
	}
	if got := p.narrowAt(200); !got.IsZero() {
		t.Errorf("nothing was reported since, but narrows at %v", got)
	}
	for range 2 {
		if err := p.rest(300); err != nil || m.promised != 200 || m.fsyncs != 3 {
			t.Errorf("%s after %d fsyncs, %v", m.promised, m.fsyncs, err)
		}
	}
	cover(150, t0.Add(time.Minute)) // another connection begins below
	if m.fsyncs != 3 || !p.narrowAt(300).IsZero() {
		t.Errorf("%d fsyncs, narrows at %v", m.fsyncs, p.narrowAt(300))
	}
	cover(201, t0.Add(time.Minute))
	if m.promised != walstore.PromisedAll {
		t.Error("reported beyond the bound")
	}
	if err := p.lower(180); err != nil || m.promised != 180 || p.highest() != 180 {
		t.Error(m.promised, err)
	}
	m.promised = 777
	if p := newPromise(m); p.highest() != 777 || !p.narrowAt(1000).IsZero() {
		t.Errorf("after a restart: %s", p.highest())
	}
}

// sink takes the reporter's bytes.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error)        { return len(b), nil }
func (sink) SetWriteDeadline(t time.Time) error { return nil }

func newTestReporter(m *promises, q Quorum) *reporter {
	m.pos = walstore.Positions{Timeline: 1, Received: 1 << 40, Written: 1 << 40, Flushed: 1 << 40}
	rp := &reporter{conn: Over(&upstream.Session{Conn: sink{}}), store: m, quorum: q, live: newLive(new(totals)), promise: newPromise(m),
		writeFor: time.Second, log: slog.New(slog.DiscardHandler), ruled: true, core: *newCore(), mirrors: &mirrorGate{}}
	rp.core.timeout = -1
	rp.live.received.Store(1 << 40)
	return rp
}

// TestReportsCostNoAllocation: a quorum that moves is reported without garbage.
func TestReportsCostNoAllocation(t *testing.T) {
	q := newRule(upTo(1))
	rp := newTestReporter(new(promises), q)
	position := lsn.LSN(1)
	n := testing.AllocsPerRun(1000, func() {
		position += 8
		q.set(upTo(position))
		if _, err := rp.step(false); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 || rp.live.reported().Flush != position {
		t.Errorf("%v allocations, reported %s of %s", n, rp.live.reported().Flush, position)
	}
}

// BenchmarkReport is the way from a quorum that moved to the written report, goroutine switches included.
func BenchmarkReport(b *testing.B) {
	q := newRule(upTo(1))
	rp := newTestReporter(new(promises), q)
	ctx, cancel := context.WithCancel(b.Context())
	here, there := net.Pipe()
	rp.conn = Over(&upstream.Session{Conn: here})
	done := make(chan error, 1)
	go func() { done <- rp.run(ctx) }()
	buf := make([]byte, 64)
	for i := 0; b.Loop(); i++ {
		q.set(upTo(lsn.LSN(2 + i)))
		if _, err := io.ReadAtLeast(there, buf, 39); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	there.Close()
	<-done
}
