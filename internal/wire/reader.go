package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// headerSize is the type byte and the length.
const headerSize = 5

// ErrFrame reports a length field that cannot be.
var ErrFrame = errors.New("invalid message length")

// Header is the start of a frame: its type and the size of its body in bytes.
type Header struct {
	Type byte
	Size int
}

// Reader reads frames. After Next the caller consumes exactly Header.Size bytes, by Body, by
// Discard, or by reading from the Reader itself (it is an io.Reader over the raw bytes).
type Reader struct {
	r    *bufio.Reader
	body []byte
}

// NewReader reads frames from r with a read-ahead of size bytes.
func NewReader(r io.Reader, size int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, size)}
}

// Next reads a frame's header. io.EOF means that the peer ended between frames; an end inside the
// header is io.ErrUnexpectedEOF. A length below 4 wraps ErrFrame; the type is told, and nothing is consumed.
func (r *Reader) Next() (Header, error) {
	h, err := r.r.Peek(headerSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Header{}, err
	}
	length := int32(binary.BigEndian.Uint32(h[1:]))
	if length < 4 {
		return Header{Type: h[0]}, fmt.Errorf("%w: %d", ErrFrame, length)
	}
	t := h[0]
	_, err = r.r.Discard(headerSize)
	return Header{Type: t, Size: int(length) - 4}, err
}

// Body reads n bytes into a buffer that the next call of Body reuses. More than limit wraps ErrFrame
// before anything is allocated.
func (r *Reader) Body(n, limit int) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%w: body of %d bytes, at most %d are allowed", ErrFrame, n, limit)
	}
	if cap(r.body) < n {
		r.body = make([]byte, n)
	}
	b := r.body[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, NoEOF(err)
	}
	return b, nil
}

// Read reads raw bytes. Large reads bypass the read-ahead buffer once it is empty, so WAL is copied
// once, from the kernel to where it stays.
func (r *Reader) Read(p []byte) (int, error) { return r.r.Read(p) }

// Discard skips n bytes of the body, and blocks until they came. An end before that is io.ErrUnexpectedEOF.
func (r *Reader) Discard(n int) error {
	_, err := r.r.Discard(n)
	return NoEOF(err)
}

// Buffered returns the number of bytes that have been read ahead.
func (r *Reader) Buffered() int { return r.r.Buffered() }

// NoEOF returns io.ErrUnexpectedEOF for io.EOF, which within a frame is no end, and any other error as it is.
func NoEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
