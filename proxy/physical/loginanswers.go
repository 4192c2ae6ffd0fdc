package physical

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/internal/wire"
)

// answer passes the client's answer to one question. Anything the client sends before it is asked
// waits: until there is a question, or until the log-in is over and it is a command.
func (l *login) answer(ctx context.Context, h wire.Header) (more bool) {
	select {
	case <-l.asks:
	default:
		if !l.awaitAsk(ctx) {
			return false
		}
	}
	if h.Type != 'p' {
		l.fail(pgerror.From(authwatch.New(authwatch.Legs{}).FromClient(h.Type, nil)))
		return false
	}
	body, err := l.s.client.body(ctx, h.Size, authwatch.MaxAnswer)
	switch {
	case errors.Is(err, wire.ErrFrame):
		l.fail(pgerror.Fatal(pgerror.ProtocolViolation, "invalid message length"))
		return false
	case err != nil:
		l.fail(fmt.Errorf("%w: %w", errClientGone, err))
		return false
	}
	if f := l.foretold; f != nil { // there is no place yet
		l.foretold = nil
		f.answer <- append([]byte(nil), body...)
		return true
	}
	if err := l.watch.FromClient(h.Type, body); err != nil {
		l.fail(err)
		return false
	}
	if !l.link.take() {
		return false // too late: errAnswerDue is on its way
	}
	l.link.gate.Spoke(l.link.ticket)
	if _, err := l.link.up.Conn.Write(wire.AppendFrame(nil, h.Type, body)); err != nil {
		return false // the reader of the primary says why
	}
	return true
}

// awaitAsk waits for a question for a client that has sent something ahead, so that its end is behind that. One that
// resets has gone; one that has ended its side goes after all others that wait for a place.
func (l *login) awaitAsk(ctx context.Context) (asked bool) {
	defer hangup.Watch(l.s.client.conn, true, func(n hangup.News) {
		switch {
		case n == hangup.Gone:
			l.fail(fmt.Errorf("%w: left while it waited", errClientGone))
		case l.place() != nil:
			l.s.h.o.Gate.Last(l.place())
		}
	})()
	select {
	case <-ctx.Done():
		return false
	case <-l.asks:
		return true
	}
}

// loginMessage remembers the session's state from a message of the primary, and replaces the cancel key. The client
// gets the session's virtual pid with a key that replproxy made, as long as the primary's (4 bytes in protocol 3.0, 32
// in 3.2).
func (s *session) loginMessage(l *link, typ byte, body []byte) ([]byte, error) {
	switch typ {
	case 'S':
		s.parameter(body)
	case 'K':
		if len(body) < 8 || len(body) > 4+maxCancelKey {
			return nil, pgerror.Fatal(pgerror.ProtocolViolation, "the primary sent an invalid cancel key")
		}
		l.pid, l.key = binary.BigEndian.Uint32(body), append([]byte(nil), body[4:]...)
		key := make([]byte, len(l.key))
		_, _ = rand.Read(key) // never fails
		s.withdraw = s.server.OnCancel(key, s.cancel)
		return append(binary.BigEndian.AppendUint32(nil, uint32(s.server.PID())), key...), nil
	}
	return body, nil
}

// maxCancelKey is the longest key of any protocol version (facts A5).
const maxCancelKey = 256
