package relay

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// loopBuffer is the size of one read; one buffer serves all sessions of a loop.
	loopBuffer = 64 << 10
	// loopEvents bounds the events that one wait returns.
	loopEvents = 128
	// busyWait is the time in milliseconds for which a loop that has just moved bytes waits for more on its own thread
	// and processor. It bounds what the scheduler may have to wait for them if it cannot interrupt the wait by signal
	// (GODEBUG=asyncpreemptoff=1), and what an idle loop holds.
	busyWait = 5
	// turnReads bounds the reads of one session before the others have their turn.
	turnReads = 4
)

// errEngineStopped ends the sessions that outlive their engine.
var errEngineStopped = errors.New("relay engine stopped")

// loop moves the bytes of its sessions. Everything but the fields under mu belongs to run. Make it with newLoop.
//
//	other goroutines ── do(func) ──► asks ── eventfd ──┐
//	sockets ───────────────── epoll, edge-triggered ───┴─► run: read, write, splice; never blocks
type loop struct {
	ep, bell int

	mu      sync.Mutex
	asks    []func()
	closed  bool
	release sync.Once

	ends     map[int32]*end
	again    []*flow // flows whose turn ended before their data did
	buf      []byte
	pipes    []*pipe
	busy     bool // events came in the wait before
	stopping bool
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make relay loop: epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("make relay loop: eventfd: %w", err)
	}
	l := &loop{ep: ep, bell: bell, ends: map[int32]*end{}, buf: make([]byte, loopBuffer)}
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(bell)})
	if err != nil {
		l.close()
		return nil, fmt.Errorf("make relay loop: add eventfd: %w", err)
	}
	return l, nil
}

// do lets run call f soon. false: the loop is closed and f will not be called.
func (l *loop) do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.asks = append(l.asks, f)
	if len(l.asks) == 1 {
		_, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return true
}

func (l *loop) stop() { l.do(func() { l.stopping = true }) }

// close releases the resources of a loop that does not run, or not any more.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.release.Do(func() {
		_ = unix.Close(l.ep)
		_ = unix.Close(l.bell)
		for _, p := range l.pipes {
			p.close()
		}
	})
}

// run serves until stop, then returns nil. Sessions that are left then end with errEngineStopped, as after an error,
// which is of epoll.
func (l *loop) run() error {
	defer l.endAll()
	var events [loopEvents]unix.EpollEvent
	for !l.stopping {
		n, err := l.wait(events[:])
		if err != nil {
			return fmt.Errorf("run relay loop: %w", err)
		}
		rung := false
		for _, ev := range events[:n] {
			if ev.Fd == int32(l.bell) {
				rung = true
				continue
			}
			if e := l.ends[ev.Fd]; e != nil {
				l.event(e, ev.Events)
			}
		}
		again := l.again
		l.again = nil
		for _, f := range again {
			f.queued = false
			l.guard(f.src.pair, f)
		}
		if rung {
			l.answer()
		}
	}
	return nil
}

// endAll ends all sessions that are left, the sessions that were about to begin included.
func (l *loop) endAll() {
	l.mu.Lock()
	l.closed = true
	asks := l.asks
	l.asks = nil
	l.mu.Unlock()
	for _, f := range asks {
		f()
	}
	for _, e := range l.ends {
		l.end(e.pair, errEngineStopped)
	}
}

// wait fills events and returns how many came: 0 after a signal, or when none came in time. It does not block when some
// flow still has data. A busy loop waits without telling the scheduler, as rawRead does: to hand the processor over and
// to get it back costs more than moving a message. The scheduler's signals interrupt that wait, so it does not hold up
// a collection of garbage. A loop to which nothing comes for busyWait goes on waiting as any other goroutine.
func (l *loop) wait(events []unix.EpollEvent) (n int, err error) {
	switch {
	case len(l.again) > 0:
		n, err = rawEpollWait(l.ep, events, 0)
	case l.busy:
		n, err = rawEpollWait(l.ep, events, busyWait)
		l.busy = n > 0 || err == unix.EINTR
	default:
		n, err = unix.EpollWait(l.ep, events, -1)
		l.busy = true
	}
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// answer calls the functions that other goroutines have handed over. It comes last in a round: descriptors that were
// closed in it may be used again only now.
func (l *loop) answer() {
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:])
	l.mu.Lock()
	asks := l.asks
	l.asks = nil
	l.mu.Unlock()
	for _, f := range asks {
		f()
	}
}

// event takes epoll's events of a socket, and moves the bytes that can move.
func (l *loop) event(e *end, events uint32) {
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.hup = true
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.in.readable = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && e.out.waits() {
		l.guard(e.pair, e.out)
	}
	if !e.pair.over {
		l.guard(e.pair, e.in)
	}
}

// guard calls pump, and keeps a panic within the session.
func (l *loop) guard(p *pair, f *flow) {
	defer func() {
		if v := recover(); v != nil {
			l.end(p, panicked(v))
		}
	}()
	l.pump(f)
}

// take duplicates the descriptor of a socket and closes conn, which leaves the connection to the
// loop alone: the runtime's own poller does not wake up for it any more.
func take(conn net.Conn) (int, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, errors.New("take socket: not a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("take socket: %w", err)
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, fmt.Errorf("take socket: %w", err)
	}
	if dupErr != nil {
		return -1, fmt.Errorf("take socket: %w", dupErr)
	}
	_ = conn.Close()
	return fd, nil
}
