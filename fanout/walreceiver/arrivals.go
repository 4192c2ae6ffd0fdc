package walreceiver

import (
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/histogram"
)

// arrivalsKept bounds the messages of WAL whose time is remembered until the upstream is told that they are flushed.
// While so many wait, later ones are not counted: the histogram is a sample then.
const arrivalsKept = 256

// arrivals holds when WAL came, for the histogram of how long commits wait for the rule. The reader calls came, and one
// goroutine at a time told; neither waits for the other. The zero value is ready.
type arrivals struct {
	ends  [arrivalsKept]atomic.Uint64 // where a message ended
	times [arrivalsKept]atomic.Int64  // since the connection began
	next  atomic.Uint64               // number of the next message
	first atomic.Uint64               // number of the oldest one that waits
}

// came notes that WAL up to end has come.
func (a *arrivals) came(end lsn.LSN, at time.Duration) {
	n := a.next.Load()
	if n-a.first.Load() == arrivalsKept {
		return
	}
	a.ends[n%arrivalsKept].Store(uint64(end))
	a.times[n%arrivalsKept].Store(int64(at))
	a.next.Store(n + 1)
}

// told counts how long WAL up to flush has waited, now that the upstream is told of it.
func (a *arrivals) told(flush lsn.LSN, now time.Duration, waits *histogram.Histogram) {
	n, end := a.first.Load(), a.next.Load()
	for ; n != end && a.ends[n%arrivalsKept].Load() <= uint64(flush); n++ {
		waits.Observe(now - time.Duration(a.times[n%arrivalsKept].Load()))
	}
	a.first.Store(n)
}
