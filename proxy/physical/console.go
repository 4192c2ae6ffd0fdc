package physical

import (
	"context"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/console"
)

// maxSkipped bounds a message whose body is dropped and answered by an error. A longer one ends the session.
const maxSkipped = 16 << 20

// Console makes a session of the console for a client that has logged in. It must not block.
type Console func(console.Client) *console.Session

// converse hands the client's messages to a session of the console, until the client leaves or ctx ends.
func (s *session) converse(ctx context.Context) error {
	talk := s.console(console.Client{
		User: s.req.User(), PID: s.server.PID(), Parameters: s.parameters, Settings: s.h.o.Settings,
	})
	if err := s.send(talk.Greeting()); err != nil {
		return lostClient(err)
	}
	for {
		h, err := s.client.next(ctx)
		switch {
		case errors.Is(err, errInterrupted):
			return errShutdown()
		case err != nil:
			return lostClient(err)
		case h.Type == 'X':
			return errOver
		case known(h.Type) && (short(h.Type) && h.Size > maxShort || h.Size > maxSkipped):
			return fmt.Errorf("%w: message %q of %d bytes", errClientGone, h.Type, h.Size)
		case !known(h.Type):
			return pgerror.Fatal(pgerror.ProtocolViolation, "invalid frontend message type %d", h.Type)
		}
		out, flush, err := s.hear(ctx, talk, h)
		if err != nil {
			return err
		}
		if err = s.client.put(out); err == nil && flush {
			err = s.client.flush()
		}
		if err != nil {
			return lostClient(err)
		}
	}
}

// hear reads the body of a message, and returns the console's answer.
func (s *session) hear(ctx context.Context, talk *console.Session, h wire.Header) (out []byte, flush bool, err error) {
	if h.Size > console.MaxMessage {
		if err := s.client.skip(ctx, h.Size); err != nil {
			return nil, false, lostClient(err)
		}
		return talk.TooLong(h.Type, h.Size)
	}
	body, err := s.client.body(ctx, h.Size, console.MaxMessage)
	if err != nil {
		return nil, false, lostClient(err)
	}
	out, flush, err = talk.Message(ctx, h.Type, body)
	if err == nil && ctx.Err() != nil {
		err = errShutdown()
	}
	return out, flush, err
}
