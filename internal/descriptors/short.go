package descriptors

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

// IsShort reports whether an error says that the process or the system has no descriptor left: the same can be tried
// again. Only what opens something fails so, never an fsync.
func IsShort(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// firstDelay and lastDelay bound the wait after a failed accept: long enough not to spin, short enough that nobody
// notices once it is over.
const (
	firstDelay = 5 * time.Millisecond
	lastDelay  = time.Second
)

// patient is a listener that outlives the failure to accept a connection.
type patient struct {
	net.Listener
	log    *slog.Logger
	closed chan struct{}
	close  func() error
}

// Patient gives a listener whose Accept fails only once it has been closed. Whatever else happens, descriptors or
// memory that are short above all, is logged, a bounded number of times, and waited out.
func Patient(l net.Listener, log *slog.Logger) net.Listener {
	p := &patient{Listener: l, log: log, closed: make(chan struct{})}
	p.close = sync.OnceValue(func() error { close(p.closed); return l.Close() })
	return p
}

// Accept blocks until there is a connection or the listener is closed. One goroutine at a time may call it.
func (p *patient) Accept() (net.Conn, error) {
	var lines crowd.Quota
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		conn, err := p.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		if dropped, ok := lines.Admit(time.Now()); ok {
			p.log.Warn("cannot accept connections", "listen", p.Addr().String(), "err", err, "retry_in", delay,
				"lines_dropped", dropped)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-p.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close ends Accept.
func (p *patient) Close() error { return p.close() }
