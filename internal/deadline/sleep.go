package deadline

import (
	"context"
	"time"
)

// Sleep blocks for d or until the end of ctx, whose cause it returns. Of a d that is not above 0 it returns at once.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
