package physical

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/relay"
)

// listen reads the client's messages and gives each to whom it is for. nil: the client has ended, or has said its
// last. A *pgerror.Error is owed to the client.
func (d *database) listen(ctx context.Context) error {
	for {
		h, err := d.next()
		switch {
		case errors.Is(err, wire.ErrFrame):
			return d.last(h, false) // the primary ends the session, and says so best
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return d.flush()
		case err != nil:
			return &relay.SideError{Side: relay.Client, Err: fmt.Errorf("read: %w", err)}
		}
		switch d.turn(h) {
		case wait: // for ever: the primary has ended
			return nil
		case passOn:
			err = d.pass(h, nil)
		case passEnd:
			return d.last(h, true)
		case drop:
			err = d.s.client.r.Discard(h.Size)
		case execute:
			err = d.query(ctx, h)
		}
		if err != nil {
			return err
		}
	}
}

// next returns the client's next message. What is for the primary is on its way before that is waited for.
func (d *database) next() (wire.Header, error) {
	c := d.s.client
	if h := c.pending; h != nil {
		c.pending = nil
		return *h, nil
	}
	if c.r.Buffered() < frameHeader {
		if err := d.flush(); err != nil {
			return wire.Header{}, err
		}
	}
	return c.r.Next()
}

// turn waits until the message can be judged; wait: it never can.
func (d *database) turn(h wire.Header) action {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if d.ended {
			return wait
		}
		v := d.talk.say(h.Type, h.Size)
		if v != wait && v != probe {
			return v
		}
		if v == probe {
			d.talk.probed()
			d.out = append(wire.AppendHeader(d.out, 'Q', 1), 0)
		}
		if len(d.out) == 0 {
			d.changed.Wait()
			continue
		}
		d.mu.Unlock()
		err := d.flush()
		d.mu.Lock()
		if err != nil {
			return wait // whoever hears the primary says why
		}
	}
}

// query gives one Query to whom it is for: the primary, or this proxy. It blocks until it is passed, or answered here.
// The error ends the session.
func (d *database) query(ctx context.Context, h wire.Header) error {
	r := d.s.client.r
	lead, err := d.body(min(h.Size, maxLead))
	if err != nil {
		return err
	}
	dialect := grammar.Dialect{Version: d.s.version, Database: true}
	is, undecided := commandAhead(dialect, lead, h.Size)
	if undecided && h.Size <= maxQuery {
		if lead, err = d.rest(lead, h.Size); err != nil {
			return err
		}
		is, undecided = commandAhead(dialect, lead, h.Size)
	}
	switch {
	case undecided || is && h.Size > maxQuery:
		if err := r.Discard(h.Size - len(lead)); err != nil {
			return clientLost(err)
		}
		return d.answer(ctx, func(context.Context) error { return d.s.fail(nil, errTooLong(h.Size)) })
	case !is:
		d.run()
		return d.pass(h, lead)
	}
	text, err := d.rest(lead, h.Size)
	if err != nil {
		return err
	}
	return d.command(ctx, dialect, h, text)
}

// rest reads the rest of a body of size bytes, at most maxQuery, that begins with lead.
func (d *database) rest(lead []byte, size int) ([]byte, error) {
	if len(lead) == size {
		return lead, nil
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(d.s.client.r, b[copy(b, lead):]); err != nil {
		return nil, clientLost(err)
	}
	return b, nil
}

// run notes that a Query goes to the primary.
func (d *database) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.talk.run()
}

// body reads the beginning of a message's body; the memory is valid until the next call.
func (d *database) body(n int) ([]byte, error) {
	if d.s.client.r.Buffered() < n {
		if err := d.flush(); err != nil {
			return nil, err
		}
	}
	b, err := d.s.client.r.Body(n, n)
	return b, clientLost(err)
}

// pass puts a message on its way to the primary; lead has been read of its body.
func (d *database) pass(h wire.Header, lead []byte) error {
	d.out = append(wire.AppendHeader(d.out, h.Type, h.Size), lead...)
	c := d.s.client
	for left := h.Size - len(lead); left > 0; {
		if len(d.out) >= outputFlush || c.r.Buffered() == 0 {
			if err := d.flush(); err != nil {
				return err
			}
		}
		at, n := len(d.out), min(left, outputFlush)
		d.out = append(d.out, make([]byte, n)...)
		n, err := c.r.Read(d.out[at:])
		d.out = d.out[:at+n]
		if left -= n; err != nil {
			return errors.Join(d.flush(), clientLost(wire.NoEOF(err)))
		}
	}
	if len(d.out) >= outputFlush {
		return d.flush()
	}
	return nil
}

// last passes the beginning of a message that ends the session, and reads nothing after it. whole: its header was read;
// else the length in it cannot be. It blocks until the primary has ended the session.
func (d *database) last(h wire.Header, whole bool) error {
	if !whole { // it has a length that cannot be
		d.out = append(d.out, make([]byte, frameHeader)...)
		if _, err := io.ReadFull(d.s.client.r, d.out[len(d.out)-frameHeader:]); err != nil {
			return clientLost(err)
		}
	} else {
		d.out = wire.AppendHeader(d.out, h.Type, h.Size)
	}
	if err := d.flush(); err != nil || h.Type == 'X' {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.ended { // its end is not passed on before: the primary would miss the rest of the message
		d.changed.Wait()
	}
	return nil
}

// flush writes the bytes that wait for the primary.
func (d *database) flush() error {
	if len(d.out) == 0 {
		return nil
	}
	n, err := d.up.Write(d.out)
	d.legs.FromClient.Add(int64(n))
	d.out = d.out[:0]
	if err != nil {
		return &relay.SideError{Side: relay.Primary, Err: fmt.Errorf("write: %w", err)}
	}
	return nil
}

// clientLost words the loss of the client inside of a message.
func clientLost(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClientGone, err)
}
