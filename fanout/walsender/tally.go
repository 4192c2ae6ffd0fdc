package walsender

import (
	"sync/atomic"

	"github.com/replproxy/replproxy/internal/histogram"
)

// Tally counts over the sessions that share it. The zero value is ready.
type Tally struct {
	Bytes atomic.Uint64 // of WAL sent
	// Flush counts how long WAL took from when it could be sent to a streaming standby's report that it is flushed: the
	// newest WAL of each report. While much is under way that is a sample.
	Flush histogram.Histogram
}

// SetTally has t count the session from now on. Any goroutine may call it.
func (s *Sender) SetTally(t *Tally) { s.tally.Store(t) }

// countFlush counts the report that was just taken. The caller holds mu.
func (s *Sender) countFlush() {
	if t := s.tally.Load(); t != nil && s.core.flushed {
		t.Flush.Observe(s.core.lags[1].lag)
	}
}

// countSent counts WAL that was sent.
func (s *Sender) countSent(n int) {
	if t := s.tally.Load(); t != nil {
		t.Bytes.Add(uint64(n))
	}
}
