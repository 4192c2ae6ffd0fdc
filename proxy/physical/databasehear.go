package physical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/relay"
)

// frameHeader is a frame's type byte and length word.
const frameHeader = 5

// hearing cuts the primary's bytes into messages while they go through. It belongs to hear.
type hearing struct {
	left  int    // bytes of the present body that are still to come
	frame []byte // the message that is kept whole; empty: it goes through as it comes
}

// hear passes the primary's messages to the client, piece by piece as they come. It keeps whole only the few that
// change the state of the talk. nil: the primary has ended in order.
func (d *database) hear() error {
	var m hearing
	buf := make([]byte, primaryBuffer)
	have := copy(buf, d.legs.UpstreamAhead) // at most what the log-in reads ahead
	for rest := 0; ; {
		used, err := d.pieces(&m, buf[:rest+have])
		if err != nil {
			return err
		}
		rest = copy(buf, buf[used:rest+have]) // the beginning of a header
		have, err = d.up.Read(buf[rest:])
		switch {
		case errors.Is(err, io.EOF) && have == 0:
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return &relay.SideError{Side: relay.Primary, Err: fmt.Errorf("read: %w", err)}
		}
	}
}

// pieces passes all of b but a header that is not whole, and says how much that is.
func (d *database) pieces(m *hearing, b []byte) (used int, err error) {
	from := 0 // what lies before has been passed
	for used < len(b) && err == nil {
		switch {
		case len(m.frame) > 0:
			n := min(m.left, len(b)-used)
			m.frame = append(m.frame, b[used:used+n]...)
			used, m.left = used+n, m.left-n
			from = used
			if m.left == 0 {
				err = d.message(m.frame)
				m.frame = m.frame[:0]
			}
		case m.left > 0:
			n := min(m.left, len(b)-used)
			used, m.left = used+n, m.left-n
		case len(b)-used < frameHeader:
			return used, d.tell(b[from:used])
		default:
			typ, size := b[used], int64(binary.BigEndian.Uint32(b[used+1:]))-4
			if size < 0 {
				return used, fmt.Errorf("%w of the primary: %d", wire.ErrFrame, size)
			}
			m.left = int(size)
			if typ == 'E' && m.left > maxSmall {
				d.s.h.o.Hub.DropTemporary(d.s.server.PID())
			}
			if d.matters(typ, m.left) {
				err = d.tell(b[from:used])
				m.frame = append(m.frame, b[used:used+frameHeader]...)
				from = used + frameHeader
			}
			used += frameHeader
			if len(m.frame) > 0 && m.left == 0 && err == nil {
				err = d.message(m.frame)
				m.frame = m.frame[:0]
			}
		}
	}
	if err == nil {
		err = d.tell(b[from:used])
	}
	return used, err
}

// matters reports whether a message is looked at rather than passed as it comes.
func (d *database) matters(typ byte, size int) bool {
	switch typ {
	case 'Z', 'G', 'W', 'I', 'E', 'S':
		return size <= maxSmall
	case 'd':
		return false // the most of them, without a look at mu
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return size <= maxSmall && (d.backup.looksAt(typ) || d.answering) || size <= maxHistory && d.own != nil
}

// message passes one whole message, or keeps it while a command is answered here, and notes what it says. It may block
// for the client's socket, and behind a base backup for the store. An error ends the session.
func (d *database) message(frame []byte) error {
	typ, body := frame[0], frame[frameHeader:]
	var failed *pgerror.Error
	if typ == 'E' {
		if failed, _ = wire.ParseError(body); failed.IsFatal() {
			d.s.interrupt(failed)
		}
	}
	d.mu.Lock()
	if d.answering && failed != nil && failed.IsFatal() {
		defer d.mu.Unlock()
		return nil // what was interrupted tells the client
	}
	if d.own != nil && (failed == nil || !failed.IsFatal()) {
		defer d.mu.Unlock()
		return d.ownMessage(typ, body, frame)
	}
	ours, end := d.talk.ours(typ), lsn.Point{}
	if d.backup.looksAt(typ) {
		var begin lsn.Point
		begin, end = d.backup.hear(typ, body)
		d.s.h.learnKnown(begin.LSN)
	}
	b := d.backup
	d.mu.Unlock()
	if err := d.awaitEnd(b, end); err != nil {
		return err
	}
	if !ours {
		if typ == 'E' {
			d.s.h.o.Hub.DropTemporary(d.s.server.PID()) // any error costs a session its temporary slots (facts B1)
		}
		if err := d.tell(frame); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case typ == 'S':
		d.parameter(body)
	case typ == 'Z' && len(body) == 1:
		d.endBackup()
		d.talk.hear(typ, body[0])
	default:
		d.talk.hear(typ, 0)
	}
	d.changed.Broadcast()
	return nil
}

// parameter notes a ParameterStatus. The caller holds mu.
func (d *database) parameter(body []byte) {
	noteParameter(d.params, body)
	d.s.server.SetApplicationName(d.params["application_name"])
}

// tell writes to the client what the primary says. While a command is answered here the primary owes nothing: what
// it says unasked waits, and that it ends the session ends the command.
func (d *database) tell(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	d.mu.Lock()
	if d.answering {
		defer d.mu.Unlock()
		return d.hold(b)
	}
	d.writing = true
	d.mu.Unlock()
	n, err := d.legs.Client.Write(b)
	d.legs.ToClient.Add(int64(n))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing = false
	d.changed.Broadcast()
	if err != nil {
		return &relay.SideError{Side: relay.Client, Err: fmt.Errorf("write: %w", err)}
	}
	return nil
}

// hold keeps a message for after the command that is answered here. More than maxHeld bytes wrap wire.ErrFrame. The
// caller holds mu.
func (d *database) hold(b []byte) error {
	if len(d.held)+len(b) > maxHeld {
		return fmt.Errorf("%w: the primary talks unasked", wire.ErrFrame)
	}
	d.held = append(d.held, b...)
	return nil
}

// ownQuery is a Query of our own and what the primary answers: nothing of it is for the client.
type ownQuery struct {
	row    []string       // the first
	failed *pgerror.Error // nil: it did not
	unsaid []byte         // parameters and notices, which are for the client
	status byte           // of ReadyForQuery; 0: it is still to come
}

// ownMessage notes a part of the answer to our own Query. A message that is none wraps wire.ErrFrame. The caller holds
// mu.
func (d *database) ownMessage(typ byte, body, frame []byte) error {
	a := d.own
	switch typ {
	case 'S':
		d.parameter(body)
		a.unsaid = append(a.unsaid, frame...)
	case 'N':
		a.unsaid = append(a.unsaid, frame...)
	case 'D':
		a.row = columns(body)
	case 'E':
		a.failed, _ = wire.ParseError(body)
	case 'Z':
		if len(body) == 1 {
			a.status = body[0]
		}
		d.talk.hear('Z', a.status)
		d.own = nil
		d.changed.Broadcast()
	}
	if len(a.unsaid) > maxHeld {
		return fmt.Errorf("%w: the primary talks unasked", wire.ErrFrame)
	}
	return nil
}

// ask sends a Query of our own to a primary that waits for one, and waits for the answer. nil: the primary has ended.
func (d *database) ask(query string) (*ownQuery, error) {
	a := &ownQuery{}
	d.mu.Lock()
	d.own = a
	d.talk.run()
	d.mu.Unlock()
	d.out = wire.AppendFrame(d.out, 'Q', append([]byte(query), 0))
	if err := d.flush(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.own != nil && !d.ended {
		d.changed.Wait()
	}
	if d.own != nil {
		return nil, &relay.SideError{Side: relay.Primary, Err: errors.New("ended while it was asked")}
	}
	return a, nil
}
