package walreceiver

import (
	"errors"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// stuckAfter is the time in which the disk takes nothing of what has come before the upstream is asked
	// whether it waits for that. It is a small part of the time that operators give a server to stop.
	stuckAfter = 4 * time.Second
	// stuckLook lies between two looks at the disk and, once it is stuck, between two questions: each costs the
	// upstream a log-in.
	stuckLook = 2 * time.Second
)

// errStopsWithoutUs: an upstream that shuts down waits until everything it sent is flushed, as long as we show
// that we live (facts E7). With a disk that takes nothing that would be for ever.
var errStopsWithoutUs = errors.New("the upstream is shutting down and would wait for this store, whose disk takes " +
	"nothing: it is left, and what it still had will come when it is back")

// stuck measures the time in which the disk took nothing although WAL had come. It is pure.
type stuck struct {
	flushed lsn.LSN
	since   time.Time // when flushed moved last, or nothing was owed
}

// step looks at the store, and returns for how long its disk has taken nothing; 0: it takes WAL, or has all. received
// is the end of the WAL that has come. paused: the store takes no more, so WAL is owed even if received is flushed.
func (c *stuck) step(now time.Time, received, flushed lsn.LSN, paused bool) (stands time.Duration) {
	if c.since.IsZero() || flushed != c.flushed || flushed >= received && !paused {
		c.flushed, c.since = flushed, now
	}
	return now.Sub(c.since)
}

// stuckLooks holds the state of the disk as [Receiver.Stuck] saw it last.
type stuckLooks struct {
	mu   sync.Mutex
	core stuck
	last time.Time
}

// step looks at the store. Time in which nobody looked does not count: the whole process may have stood still.
func (l *stuckLooks) step(now time.Time, received, flushed lsn.LSN, paused bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) > stuckLook {
		l.core = stuck{}
	}
	l.last = now
	return l.core.step(now, received, flushed, paused) >= stuckAfter
}

// Stuck reports whether the disk has taken nothing for some seconds of the WAL that has come, from whichever server. It
// may be full, or hang, or there is no descriptor for a file. Where reports follow what is written, that counts. The
// answer rests on the calls before, so ask every second at least. Any goroutine may call it.
func (r *Receiver) Stuck() bool {
	have, paused := r.o.Store.Positions(), r.o.Store.Paused()
	r.mu.Lock()
	if r.live != nil && r.live.written.Load() {
		have.Flushed = have.Written
	}
	r.mu.Unlock()
	return r.looks.step(time.Now(), have.Received, have.Flushed, paused)
}
