package upstream

import (
	"bytes"
	"testing"

	"github.com/replproxy/replproxy/internal/wire"
)

// FuzzAnswer reads a command's answer from arbitrary bytes: no panic, and what it returns is no larger
// than what was sent.
func FuzzAnswer(f *testing.F) {
	row := wire.AppendFrame(nil, 'T', append(append([]byte{0, 1}, "a\x00"...), make([]byte, 18)...))
	row = wire.AppendFrame(row, 'D', []byte{0, 1, 0, 0, 0, 1, 'x'})
	row = wire.AppendFrame(row, 'C', []byte("SHOW\x00"))
	f.Add(wire.AppendFrame(row, 'Z', []byte{'I'}))
	f.Add(wire.AppendFrame(refusal("ERROR", "42704", "no"), 'Z', []byte{'I'}))
	f.Add(wire.AppendFrame(nil, 'W', []byte{0, 0, 0}))
	f.Add(wire.AppendFrame(nil, 'S', []byte("a\x00b\x00")))
	f.Add(wire.AppendFrame(nil, 'D', []byte{0xff, 0xff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Session{Reader: wire.NewReader(bytes.NewReader(b), readAhead)}
		a, _, err := s.answer(true)
		size := 0
		for _, r := range a.Results {
			size += len(r.Tag) + len(r.Columns)
			for _, row := range r.Rows {
				for _, v := range row {
					size += len(v)
				}
			}
		}
		if size > len(b) {
			t.Fatalf("%d bytes out of %d, %v", size, len(b), err)
		}
	})
}

// FuzzFrameReader: whatever the sizes of reads, the library sees the stream as it is, and never a
// byte of the next frame in one read.
func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("Z\x00\x00\x00\x05IC\x00\x00\x00\x04"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		fr := newFrameReader(bytes.NewReader(b))
		p := make([]byte, int(size)+1)
		var got []byte
		for {
			n, err := fr.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(b, got) {
			t.Fatalf("%q became %q", b, got)
		}
	})
}
