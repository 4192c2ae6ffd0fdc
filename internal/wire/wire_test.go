package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/replproxy/replproxy/internal/wire"
)

func TestAppend(t *testing.T) {
	got := wire.AppendFrame([]byte("x"), 'Q', []byte("ab\x00"))
	if want := "xQ\x00\x00\x00\x07ab\x00"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := wire.AppendHeader(nil, 'd', 0x01020304-4); string(got) != "d\x01\x02\x03\x04" {
		t.Errorf("%q", got)
	}
	if got := wire.AppendFrame(nil, 'S', nil); string(got) != "S\x00\x00\x00\x04" {
		t.Errorf("%q", got)
	}
}

// TestReader takes the same frames by each of the three ways, whatever sizes the source delivers.
func TestReader(t *testing.T) {
	var stream []byte
	big := bytes.Repeat([]byte("wal!"), 1000)
	for _, body := range [][]byte{[]byte("body"), nil, big, []byte("skipped"), big} {
		stream = wire.AppendFrame(stream, 'd', body)
	}
	for name, source := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)), "early EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		r := wire.NewReader(source, 64)
		next(t, r, 4)
		if b, err := r.Body(4, 4); err != nil || string(b) != "body" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		next(t, r, 0)
		if b, err := r.Body(0, 0); err != nil || len(b) != 0 {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		next(t, r, len(big))
		if b, err := io.ReadAll(io.LimitReader(r, int64(len(big)))); err != nil || !bytes.Equal(b, big) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		next(t, r, 7)
		if err := r.Discard(7); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		next(t, r, len(big))
		if b, err := r.Body(len(big), len(big)); err != nil || !bytes.Equal(b, big) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if _, err := r.Next(); err != io.EOF || r.Buffered() != 0 {
			t.Errorf("%s: at the end: %v, %d buffered", name, err, r.Buffered())
		}
	}
}

func next(t *testing.T, r *wire.Reader, size int) {
	t.Helper()
	h, err := r.Next()
	if err != nil || h != (wire.Header{Type: 'd', Size: size}) {
		t.Fatalf("%+v, %v, want a body of %d", h, err, size)
	}
}

// TestBodyReusesItsBuffer: a frame costs no allocation once the buffer is large enough.
func TestBodyReusesItsBuffer(t *testing.T) {
	frame := wire.AppendFrame(nil, 'd', []byte("12345678"))
	source := &endless{frame: frame}
	r := wire.NewReader(source, 64)
	if n := testing.AllocsPerRun(100, func() {
		h, err := r.Next()
		if err != nil {
			t.Error(err)
		}
		if b, err := r.Body(h.Size, 8); err != nil || string(b) != "12345678" {
			t.Errorf("%q, %v", b, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// endless repeats a frame.
type endless struct {
	frame []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frame[e.at:])
	e.at = (e.at + n) % len(e.frame)
	return n, nil
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	read := func(stream string, err error, take func(*wire.Reader, wire.Header) error) error {
		r := wire.NewReader(io.MultiReader(bytes.NewReader([]byte(stream)), iotest.ErrReader(err)), 64)
		h, herr := r.Next()
		if herr != nil {
			return herr
		}
		return take(r, h)
	}
	body := func(r *wire.Reader, h wire.Header) error { _, err := r.Body(h.Size, 100); return err }
	skip := func(r *wire.Reader, h wire.Header) error { return r.Discard(h.Size) }
	for _, c := range []struct {
		name, stream string
		source, want error
		take         func(*wire.Reader, wire.Header) error
	}{
		{"between frames", "", io.EOF, io.EOF, body},
		{"in the type", "d", io.EOF, io.ErrUnexpectedEOF, body},
		{"in the length", "d\x00\x00\x00", io.EOF, io.ErrUnexpectedEOF, body},
		{"before the body", "d\x00\x00\x00\x08", io.EOF, io.ErrUnexpectedEOF, body},
		{"in the body", "d\x00\x00\x00\x08abc", io.EOF, io.ErrUnexpectedEOF, body},
		{"skipping the body", "d\x00\x00\x00\x08abc", io.EOF, io.ErrUnexpectedEOF, skip},
		{"skipping before the body", "d\x00\x00\x00\x08", io.EOF, io.ErrUnexpectedEOF, skip},
		{"another error", "d\x00", broken, broken, body},
		{"another error in the body", "d\x00\x00\x00\x08abc", broken, broken, body},
		{"length 3", "d\x00\x00\x00\x03", io.EOF, wire.ErrFrame, body},
		{"length 0", "d\x00\x00\x00\x00", io.EOF, wire.ErrFrame, body},
		{"negative length", "d\xff\xff\xff\xff", io.EOF, wire.ErrFrame, body},
		{"over the limit", "d\x00\x00\x00\x69", io.EOF, wire.ErrFrame, body},
		{"over every limit", "d\x7f\xff\xff\xff", io.EOF, wire.ErrFrame, body},
	} {
		if err := read(c.stream, c.source, c.take); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzReader: no panic, no body beyond its limit, and the frames read are the bytes they came from.
func FuzzReader(f *testing.F) {
	f.Add(wire.AppendFrame(wire.AppendFrame(nil, 'd', []byte("wal")), 'c', nil))
	f.Add([]byte("d\x00\x00\x00\x03"))
	f.Add([]byte("d\x7f\xff\xff\xffx"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 10
		r := wire.NewReader(bytes.NewReader(stream), 32)
		var again []byte
		for {
			h, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, wire.ErrFrame) {
					t.Error(err)
				}
				break
			}
			b, err := r.Body(h.Size, limit)
			if err != nil {
				break
			}
			if len(b) != h.Size || len(b) > limit {
				t.Fatalf("a body of %d bytes for a header of %d", len(b), h.Size)
			}
			again = wire.AppendFrame(again, h.Type, b)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Errorf("%x read and written is %x", stream, again)
		}
	})
}
