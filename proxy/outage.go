package proxy

import (
	"sync"
	"time"
)

// outage knows since when log-ins have found no primary. The zero value is a primary that is there.
type outage struct {
	mu    sync.Mutex
	since time.Time
}

// found notes that a log-in that began to connect at a time has found no primary.
func (o *outage) found(began time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = began
	}
}

// over notes that the primary has answered a log-in.
func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = time.Time{}
}

// until returns the time until which a client that came at a time, and whose turn it is now, waits for the primary: for
// wait from now. It may be over already. The time that it waited for its turn counts as far as the primary was away
// then, so that a crowd is told at one time that there is none. Otherwise that time does not count.
func (o *outage) until(came, now time.Time, wait time.Duration) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.since.IsZero():
		return now.Add(wait)
	case came.After(o.since):
		return came.Add(wait)
	}
	return o.since.Add(wait)
}
