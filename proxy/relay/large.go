package relay

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/wire"
)

// largeHead bounds the part of a large message that is kept to be looked at: the fields of an error that matter come
// first.
const largeHead = 4 << 10

// large passes the primary's next message if it may be of any size once the client has authenticated: the notice of a
// login event trigger, or a parameter. head is the beginning of its body. It goes through piece by piece; the memory
// for it is bounded. false: the next message is an ordinary one, or there is none.
func (l *login) large() (typ byte, head []byte, ok bool, err error) {
	h, err := l.upstream.r.Peek(headerSize)
	if err != nil {
		return 0, nil, false, nil // which whoever reads it meets again
	}
	typ = h[0]
	left := int64(binary.BigEndian.Uint32(h[1:])) - 4
	if left <= authwatch.MaxQuestion || left > maxMessage || typ != 'N' && typ != 'S' && typ != 'E' {
		return 0, nil, false, nil
	}
	l.out = wire.AppendHeader(l.out, typ, int(left))
	if _, err := l.upstream.r.Discard(headerSize); err != nil {
		return typ, nil, true, l.lost(err)
	}
	for left > 0 {
		at, n := len(l.out), min(left, loginFlush)
		l.out = append(l.out, make([]byte, n)...)
		m, err := io.ReadFull(l.upstream.r, l.out[at:])
		l.out = l.out[:at+m]
		if head == nil {
			head = append(head, l.out[at:at+min(m, largeHead)]...)
		}
		if err == nil {
			err = l.flush()
		} else { // inside a message nothing can be said any more
			err = &SideError{Side: Primary, Err: fmt.Errorf("read log-in: %w", wire.NoEOF(err))}
		}
		if err != nil {
			return typ, head, true, err
		}
		left -= n
	}
	return typ, head, true, nil
}

// maxMessage is the largest message of PostgreSQL: its buffers have less than 1 GB (MaxAllocSize).
const maxMessage = 1<<30 - 1

// largeRefusal returns the error of a log-in that ended with an ErrorResponse which has been passed on.
func largeRefusal(head []byte) error {
	e, _ := wire.ParseError(head) // as far as it is there
	return &RefusedError{Err: e, Told: true}
}
