package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/wire"
)

// legBuffer is the read-ahead of a log-in: the parameter statuses of a server, about a kilobyte, in
// one read.
const legBuffer = 4096

// headerSize is a frame's type byte and length word.
const headerSize = 5

// leg is one connection during the log-in. Reading belongs to one goroutine at a time. After a read
// deadline no byte is lost: an unfinished frame's header stays in the buffer.
type leg struct {
	net.Conn
	r *bufio.Reader
}

func newLeg(c net.Conn) *leg { return &leg{Conn: c, r: bufio.NewReaderSize(c, legBuffer)} }

// frame reads one frame of at most limit bytes of body, in memory of its own. A larger one, or one with an impossible
// length, wraps wire.ErrFrame, and nothing is consumed. io.EOF: an end between frames.
func (l *leg) frame(limit int) (typ byte, body []byte, err error) {
	h, err := l.r.Peek(headerSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	typ, n := h[0], int64(binary.BigEndian.Uint32(h[1:]))-4
	if n < 0 || n > int64(limit) {
		return typ, nil, fmt.Errorf("%w: %d bytes of type %q", wire.ErrFrame, n, typ)
	}
	body = make([]byte, n)
	if _, err := l.r.Discard(headerSize); err != nil {
		return typ, nil, err
	}
	if _, err := io.ReadFull(l.r, body); err != nil {
		return typ, nil, wire.NoEOF(err)
	}
	return typ, body, nil
}

// answer reads the client's next frame. A type other than 'p' is given without its body: the
// exchange is over then.
func (l *leg) answer() (typ byte, body []byte, err error) {
	h, err := l.r.Peek(1)
	if err != nil {
		return 0, nil, err
	}
	if h[0] != 'p' {
		return h[0], nil, nil
	}
	return l.frame(authwatch.MaxAnswer)
}

// flush passes the bytes that were read ahead on to dst, and returns their number. It reads nothing more.
func (l *leg) flush(dst net.Conn) (int, error) {
	n := l.r.Buffered()
	if n == 0 {
		return 0, nil
	}
	b, _ := l.r.Peek(n)
	return dst.Write(b)
}
