package deadline

import (
	"context"
	"sync"
	"time"
)

// Past returns a deadline at which every read and write fails at once.
func Past() time.Time { return time.Unix(1, 0) }

// By sets the deadline Past, by set, when ctx ends. set is one of a connection's SetDeadline methods, or a function
// that calls some of them; its error is ignored, since only a closed connection refuses.
//
// stop ends that and reports whether the deadline was set. It blocks until a call of set that has begun returns, so
// set must not wait for who stops. A deadline that was set stays: whoever goes on with the connection sets another one
// after stop. stop may be called by any goroutine, and more than once.
func By(ctx context.Context, set func(time.Time) error) (stop func() (struck bool)) {
	done := make(chan struct{})
	withdraw := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = set(Past())
	})
	return sync.OnceValue(func() bool {
		if withdraw() {
			return false
		}
		<-done
		return true
	})
}
