package physical

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/stamp"
	"github.com/replproxy/replproxy/internal/wire"
)

// Sizes of reads ahead and of writes. Commands are short, and a client that streams sends 34-byte replies: what is
// larger bypasses the buffer, which stays as long as the client does.
const (
	clientReadAhead = 1 << 10
	outputFlush     = 32 << 10
	// passPiece is the size of one read of a base backup: one of the primary's pieces.
	passPiece = 32 << 10
)

// errClientGone ends a session whose client closed or broke its connection: there is nobody to tell.
var errClientGone = errors.New("client went away")

// errInterrupted: the context ended before the client sent anything. Nothing has been lost.
var errInterrupted = errors.New("interrupted while waiting for the client")

// client is the session's connection to its client. One goroutine reads at a time, one writes.
type client struct {
	arrival stamp.Arrival
	conn    net.Conn
	r       *wire.Reader
	pending *wire.Header // read ahead of its turn; its body is still to come

	out []byte // frames not yet written
	// torn: a frame has been written in part, so nothing more may be said on this connection.
	torn bool
}

func newClient(conn net.Conn) *client {
	arrival := stamp.NewArrival()
	return &client{arrival: arrival, conn: conn, r: wire.NewReader(arrival.Reader(conn), clientReadAhead)}
}

// next waits for the next frame's header. When ctx ends first it is errInterrupted, and reading can
// go on later; what has been read ahead is still delivered.
func (c *client) next(ctx context.Context) (wire.Header, error) {
	if h := c.pending; h != nil {
		c.pending = nil
		return *h, nil
	}
	var h wire.Header
	err := interruptible(ctx, c.conn.SetReadDeadline, func() (err error) {
		h, err = c.r.Next()
		return err
	})
	return h, err
}

// body reads the body of a frame. An end of ctx in the middle loses the frame: the session is over.
func (c *client) body(ctx context.Context, n, limit int) ([]byte, error) {
	var b []byte
	err := interruptible(ctx, c.conn.SetReadDeadline, func() (err error) {
		b, err = c.r.Body(n, limit)
		return err
	})
	return b, err
}

// skip drops the body of a frame.
func (c *client) skip(ctx context.Context, n int) error {
	return interruptible(ctx, c.conn.SetReadDeadline, func() error { return c.r.Discard(n) })
}

// interruptible runs op, which blocks on a connection until its deadline, and sets the deadline into
// the past when ctx ends. The deadline is none when it returns.
func interruptible(ctx context.Context, setDeadline func(time.Time) error, op func() error) error {
	stop := deadline.By(ctx, setDeadline)
	err := op()
	if stop() {
		_ = setDeadline(time.Time{})
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return errInterrupted
	}
	return err
}

// listen reads frames in the background until handle has had enough (the header then waits for next), or until stop is
// called, which ends the contexts of both. gone hears of a client that went away (errClientGone), or that sent bytes
// which are no frame (wire.ErrFrame as well); next meets that again. It also hears of one that took its leave before.
// stop returns once nobody reads any more; it may be called again.
func (c *client) listen(
	parent context.Context, gone func(context.Context, error), handle func(context.Context, wire.Header) (more bool),
) (stop func()) {
	ctx, cancel := context.WithCancel(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			h, err := c.next(ctx)
			if err != nil {
				if !errors.Is(err, errInterrupted) {
					gone(ctx, fmt.Errorf("%w: %w", errClientGone, err))
				}
				return
			}
			if !handle(ctx, h) {
				if h.Type == 'X' && h.Size == 0 {
					c.awaitEnd(ctx, gone)
				}
				c.pending = &h
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// awaitEnd waits for the end of a connection whose client has said its last word, Terminate: it may be there to hear
// the answers that are due. Whatever it sends after that word is lost, as at PostgreSQL.
func (c *client) awaitEnd(ctx context.Context, gone func(context.Context, error)) {
	_, err := c.next(ctx)
	if err != nil && !errors.Is(err, errInterrupted) && !errors.Is(err, wire.ErrFrame) {
		gone(ctx, fmt.Errorf("%w: %w", errClientGone, err))
	}
}

// put appends whole frames to what will be written; flush writes them.
func (c *client) put(frames []byte) error {
	c.out = append(c.out, frames...)
	if len(c.out) >= outputFlush {
		return c.flush()
	}
	return nil
}

// putFrom appends a frame whose body, size bytes, is read from src piece by piece: one copy, bounded
// memory. torn stays true when it ends early.
func (c *client) putFrom(src io.Reader, typ byte, size int) error {
	c.torn = true
	c.out = wire.AppendHeader(c.out, typ, size)
	for left := size; left > 0; {
		if len(c.out) >= outputFlush {
			if err := c.flush(); err != nil {
				return err
			}
		}
		c.out = slices.Grow(c.out, min(left, passPiece))
		n, err := src.Read(c.out[len(c.out) : len(c.out)+min(left, cap(c.out)-len(c.out))])
		c.out = c.out[:len(c.out)+n]
		if left -= n; err != nil {
			return err
		}
	}
	c.torn = false
	return nil
}

func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	n, err := c.conn.Write(c.out)
	if err != nil {
		c.torn = c.torn || n > 0
		err = fmt.Errorf("%w: %w", errClientGone, err)
	}
	c.out = c.out[:0]
	return err
}
