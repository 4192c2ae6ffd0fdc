package relay

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// maxLoops bounds the loops of an engine: one moves some 50,000 small messages a second, and each that
// is busy keeps a thread.
const maxLoops = 16

// Engine copies between sockets for all sessions of a server. Where the system has epoll, a session
// in an engine costs no goroutine that runs and no buffer: a few loops move the
// bytes of all of them. Sessions whose connections are no plain sockets (TLS) are copied by
// goroutines of their own, and so is everything elsewhere than on Linux.
//
// Measured with pgbench -S -c 16 on two processors: a goroutine per direction reaches 0.8 of
// HAProxy's throughput, most of the rest being the scheduler; see bench and ADR 0002.
type Engine struct {
	loops   []*loop
	next    atomic.Uint32
	buffers *buffers
}

// NewEngine makes the loops of an engine and starts nothing. Close releases them if Run is never
// called.
func NewEngine() (*Engine, error) {
	e := &Engine{buffers: newBuffers()}
	for range min(runtime.GOMAXPROCS(0), maxLoops) {
		l, err := newLoop()
		if err != nil {
			e.Close()
			return nil, err
		}
		if l != nil {
			e.loops = append(e.loops, l)
		}
	}
	return e, nil
}

// Loops returns the number of processors of Go's scheduler that the loops may keep for themselves while they are busy.
// The program should have so many more than it has without the engine (runtime.GOMAXPROCS).
func (e *Engine) Loops() int { return len(e.loops) }

// Run serves the loops until ctx is done; sessions that are left then lose their connections. It
// returns when all is closed.
func (e *Engine) Run(ctx context.Context) error {
	defer e.Close()
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		for _, l := range e.loops {
			l.stop()
		}
	})
	defer stop()
	for _, l := range e.loops {
		g.Go(l.run)
	}
	g.Go(func() error { // a system without loops has sessions as well
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}

// Close releases an engine that does not run.
func (e *Engine) Close() {
	for _, l := range e.loops {
		l.close()
	}
}

// pool lends buffers to sessions without a loop.
func (e *Engine) pool() *buffers {
	if e == nil {
		return newBuffers()
	}
	return e.buffers
}

// pick returns the next loop in turn, nil when there is none.
func (e *Engine) pick() *loop {
	if e == nil || len(e.loops) == 0 {
		return nil
	}
	return e.loops[int(e.next.Add(1))%len(e.loops)]
}
