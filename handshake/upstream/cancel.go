package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
)

// cancelTimeout bounds a cancel request when ctx does not: PostgreSQL handles it in milliseconds, and
// the client that waits for it has no other use for the time.
const cancelTimeout = 10 * time.Second

// Cancel opens a connection to e, sends raw (a whole CancelRequest packet) unchanged and waits until
// the server closes, which it does after signalling: there is no other answer. TLS is used where the
// session to be cancelled has it, by the files as they are now.
func (c *Config) Cancel(ctx context.Context, e Endpoint, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, cancelTimeout)
	defer cancel()
	r, err := c.read()
	if err != nil {
		return fmt.Errorf("send cancel request to %s: %w", e, err)
	}
	rc, err := r.dial.open(ctx, e, cancelTimeout)
	if err != nil {
		return fmt.Errorf("send cancel request to %s: %w", e, err)
	}
	defer rc.Close()
	defer deadline.By(ctx, rc.SetDeadline)()
	if _, err = rc.Write(raw); err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(rc, maxLoginMessage))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("send cancel request to %s: %w", e, err)
	}
	return nil
}
