package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of frames; see the package doc.
const (
	frameHello     = 'H'
	frameBegin     = 'B'
	frameItem      = 'I'
	frameDelete    = 'D'
	frameEnd       = 'E'
	frameHeartbeat = 'K'
)

const (
	lengthSize = 4
	idSize     = 1 + 8
	helloSize  = 2 + 8
	maxFrame   = 1 + idSize + MaxPayload
)

// ErrGarbled reports a frame that no proxy sends. The connection is closed.
var ErrGarbled = errors.New("garbled cluster message")

func appendFrame(b []byte, typ byte, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(body)))
	return append(append(b, typ), body...)
}

func appendItem(b []byte, id ID, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+idSize+len(payload)))
	b = append(b, frameItem, id.Kind)
	return append(binary.BigEndian.AppendUint64(b, id.Num), payload...)
}

func appendDelete(b []byte, id ID) []byte {
	b = binary.BigEndian.AppendUint32(b, 1+idSize)
	return binary.BigEndian.AppendUint64(append(b, frameDelete, id.Kind), id.Num)
}

func appendHello(b []byte, version int, run uint64) []byte {
	b = binary.BigEndian.AppendUint32(b, 1+helloSize)
	b = binary.BigEndian.AppendUint16(append(b, frameHello), uint16(version))
	return binary.BigEndian.AppendUint64(b, run)
}

// frame is one message; Payload is valid until the next one is read.
type frame struct {
	typ     byte
	id      ID
	payload []byte
	run     uint64
}

// reader reads frames of a message version with one buffer.
type reader struct {
	r       io.Reader
	version int
	buf     []byte
}

// next reads a frame, whose body is good until the next call; io.EOF between frames is the end. A frame of a length or
// type that cannot be is [ErrGarbled]. It blocks until conn's deadline.
func (r *reader) next() (frame, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes long", ErrGarbled, n)
	}
	if uint32(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return frame{}, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return parse(b, r.version)
}

// parse reads type and body. A type that is not known is an error in version 1 only.
func parse(b []byte, version int) (frame, error) {
	f, body := frame{typ: b[0]}, b[1:]
	least, more := 0, lenient(version)
	switch f.typ {
	case frameHello:
		least = helloSize
	case frameDelete:
		least = idSize
	case frameItem:
		least, more = idSize, true
	case frameBegin, frameEnd, frameHeartbeat:
	default:
		if lenient(version) {
			return f, nil
		}
		return frame{}, fmt.Errorf("%w: type %q", ErrGarbled, f.typ)
	}
	if len(body) < least || len(body) > least && !more {
		return frame{}, fmt.Errorf("%w: type %q with %d bytes", ErrGarbled, f.typ, len(body))
	}
	switch f.typ {
	case frameHello:
		if v := int(binary.BigEndian.Uint16(body)); v != version {
			return frame{}, fmt.Errorf("%w: hello of version %d on a link of version %d", ErrGarbled, v, version)
		}
		f.run = binary.BigEndian.Uint64(body[2:])
	case frameItem, frameDelete:
		f.id = ID{body[0], binary.BigEndian.Uint64(body[1:])}
		f.payload = body[idSize:] // of an item
	}
	return f, nil
}
