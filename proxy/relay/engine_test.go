package relay

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestEngineWithoutLoops: a system without epoll has no loops. Its engine runs as long as others, or the whole program
// would end.
func TestEngineWithoutLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&Engine{buffers: newBuffers()}).Run(ctx) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("it has ended by itself: %v", err)
		default:
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		cancel()
	})
}
