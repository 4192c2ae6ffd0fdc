package upstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/internal/wire"
)

func parseRowDescription(b []byte) ([]string, error) {
	bad := fmt.Errorf("%w: malformed RowDescription", ErrProtocol)
	if len(b) < 2 {
		return nil, bad
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	var names []string
	for range n {
		name, rest, ok := bytes.Cut(b, []byte{0})
		if !ok || len(rest) < 18 {
			return nil, bad
		}
		names, b = append(names, string(name)), rest[18:]
	}
	return names, nil
}

func parseDataRow(b []byte) ([][]byte, error) {
	bad := fmt.Errorf("%w: malformed DataRow", ErrProtocol)
	if len(b) < 2 {
		return nil, bad
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	row := make([][]byte, 0, min(n, len(b)/4))
	for range n {
		if len(b) < 4 {
			return nil, bad
		}
		size := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if size < 0 {
			row = append(row, nil)
			continue
		}
		if int(size) > len(b) {
			return nil, bad
		}
		row, b = append(row, bytes.Clone(b[:size:size])), b[size:]
	}
	return row, nil
}

// frameReader hands the library one frame at a time, so that it never holds a byte of the next one.
type frameReader struct {
	r    *wire.Reader
	head []byte
	left int // of the body
	took int // by maxLogIn
}

func newFrameReader(r io.Reader) *frameReader { return &frameReader{r: wire.NewReader(r, readAhead)} }

func (f *frameReader) Read(p []byte) (int, error) {
	if len(f.head) == 0 && f.left == 0 {
		h, err := f.r.Next()
		if err != nil {
			return 0, err
		}
		if f.took += h.Size + messageCost; f.took > maxLogIn {
			return 0, fmt.Errorf("%w: log-in of more than %d bytes", ErrProtocol, maxLogIn)
		}
		f.head, f.left = wire.AppendHeader(f.head[:0], h.Type, h.Size), h.Size
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}
