package walsource

import "time"

// The waits between connection attempts.
const (
	firstRetry = 200 * time.Millisecond // a restarting primary is back within seconds
	maxRetry   = 5 * time.Second        // wal_retrieve_retry_interval
	slowRetry  = 15 * time.Second       // after a refusal that only an operator can lift
	// quickRetry follows the loss of a connection that had streamed. Most often the server restarts or has moved, and
	// standbys are without WAL meanwhile.
	quickRetry = 20 * time.Millisecond
	// steady is the time that a connection must have streamed for its loss to count as a first one.
	steady = time.Second
)

// backoff decides how long to wait before the next attempt. The zero value is ready.
type backoff struct{ failures int }

// next gives the wait after an attempt that ended. streamed is how long it had been streaming,
// permanent says that the upstream will refuse again until somebody acts. random is in [0,1): waits
// are spread over their upper half, so that proxies that lost one primary do not return as one.
func (b *backoff) next(streamed time.Duration, permanent bool, random float64) time.Duration {
	if streamed >= steady {
		b.failures = 0
		if !permanent {
			return spread(quickRetry, random)
		}
	}
	if permanent {
		return spread(slowRetry, random)
	}
	d := maxRetry
	if b.failures < 5 { // 0.2 s × 2⁵ is past the maximum
		d = firstRetry << b.failures
	}
	b.failures++
	return spread(d, random)
}

func spread(d time.Duration, random float64) time.Duration {
	return d/2 + time.Duration(random*float64(d/2))
}
