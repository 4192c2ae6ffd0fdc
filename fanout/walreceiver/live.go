package walreceiver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/histogram"
	"github.com/replproxy/replproxy/internal/nudge"
)

// live holds the state of one connection's stream that reader, reporter and Status share. The reader writes it, except
// for the reported positions. Make it with newLive.
type live struct {
	begin        time.Time // of the connection; the base of heard and message, which keep its monotonic clock
	received     atomic.Uint64
	heard        atomic.Int64 // since begin, last byte; atomics only, as it moves with every read
	message      atomic.Int64 // since begin, last WAL message or keepalive; 0 for none
	upstreamEnd  atomic.Uint64
	feedbackSent atomic.Bool  // feedback was sent
	written      atomic.Bool  // Options.Written is in force for the connection
	patience     atomic.Int64 // the upstream's wal_sender_timeout plus 1 ns, once a reload has changed it
	kick         nudge.Chan   // reporter, look again
	ended        atomic.Bool  // a shutdown checkpoint ends the WAL, and the upstream waits for WAL at the rule gate
	ends         nudge.Chan   // ended has become true
	totals       *totals
	arrivals     arrivals

	mu      sync.Mutex
	pings   uint64
	pingEnd lsn.LSN
	told    lsn.Progress
}

// totals count over all connections.
type totals struct {
	pings, reports, shutdownReleases atomic.Uint64
	bytes                            atomic.Uint64 // of WAL that came
	waits                            histogram.Histogram
}

func newLive(t *totals) *live {
	return &live{begin: time.Now(), kick: nudge.New(), ends: nudge.New(), totals: t}
}

// timeout notes the upstream's present wal_sender_timeout.
func (l *live) timeout(d time.Duration) {
	l.patience.Store(int64(d) + 1)
	l.wake()
}

// end notes whether the upstream seems to wait for nothing but what the rule gate withholds.
func (l *live) end(yes bool) {
	if l.ended.Swap(yes) || !yes {
		return
	}
	l.ends.Wake()
}

func (l *live) receivedEnd() lsn.LSN { return lsn.LSN(l.received.Load()) }

// hear notes that the upstream lives.
func (l *live) hear() { l.heard.Store(int64(time.Since(l.begin))) }

func (l *live) heardAt() time.Time { return l.begin.Add(time.Duration(l.heard.Load())) }

// got notes a message of the walsender and the WAL end that it named.
func (l *live) got(walEnd lsn.LSN) {
	l.message.Store(int64(max(time.Since(l.begin), 1)))
	if uint64(walEnd) > l.upstreamEnd.Load() {
		l.upstreamEnd.Store(uint64(walEnd))
	}
}

func (l *live) lastMessage() time.Time {
	if d := l.message.Load(); d != 0 {
		return l.begin.Add(time.Duration(d))
	}
	return time.Time{}
}

// ping notes a request for a reply.
func (l *live) ping(walEnd lsn.LSN) {
	l.mu.Lock()
	l.pings++
	l.totals.pings.Add(1)
	l.pingEnd = walEnd
	l.mu.Unlock()
	l.wake()
}

func (l *live) lastPing() (n uint64, end lsn.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pings, l.pingEnd
}

func (l *live) tell(r lsn.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.reports.Add(1)
	l.told = r
	l.arrivals.told(r.Flush, time.Since(l.begin), &l.totals.waits)
}

func (l *live) reported() lsn.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// wake nudges the reporter; one token is enough.
func (l *live) wake() { l.kick.Wake() }
