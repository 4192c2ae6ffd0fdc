package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/internal/wire"
)

// endless says the same for ever.
type endless struct {
	say  func(n int) []byte
	n    int
	left []byte
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.say(e.n)
		e.n++
	}
	n := copy(p, e.left)
	e.left, e.read = e.left[n:], e.read+n
	return n, nil
}

func always(b []byte) func(int) []byte { return func(int) []byte { return b } }

func parameter(n int) []byte {
	return wire.AppendFrame(nil, 'S', fmt.Appendf(nil, "name_%d\x00%01000d\x00", n, n))
}

// An answer that does not end is left after so many messages, however little each says.
func TestAnswersEnd(t *testing.T) {
	for name, say := range map[string]func(int) []byte{
		"empty query response": always(wire.AppendFrame(nil, 'I', nil)),
		"command complete":     always(wire.AppendFrame(nil, 'C', nil)),
		"rows of no column":    always(wire.AppendFrame(nil, 'D', []byte{0, 0})),
		"descriptions":         always(wire.AppendFrame(nil, 'T', []byte{0, 0})),
		"notices":              always(wire.AppendFrame(nil, 'N', nil)),
		"late CopyData":        always(wire.AppendFrame(nil, 'd', nil)),
		"parameters":           parameter,
	} {
		t.Run(name, func(t *testing.T) {
			from := &endless{say: say}
			s := &Session{Reader: wire.NewReader(from, readAhead)}
			a, _, err := s.answer(false)
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("error %v", err)
			}
			if from.n > maxAnswer/messageCost+readAhead || len(a.Results) > maxAnswer/messageCost {
				t.Errorf("%d messages were read, %d results kept", from.n, len(a.Results))
			}
			if len(s.Parameters) > maxParameters {
				t.Errorf("%d parameters", len(s.Parameters))
			}
		})
	}
}

// So is a stream of ParameterStatus within COPY, while known ones may change for ever.
func TestParametersAreBounded(t *testing.T) {
	s := &Session{}
	for i := range maxParameters {
		if err := s.Async('S', []byte(fmt.Sprintf("name_%d\x00x\x00", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Async('S', []byte("name_7\x00changed\x00")); err != nil || s.Parameters["name_7"] != "changed" {
		t.Errorf("a known parameter: %v", err)
	}
	if err := s.Async('S', []byte("another\x00x\x00")); !errors.Is(err, ErrProtocol) {
		t.Errorf("one parameter more: %v", err)
	}
	long := "name_7\x00" + strings.Repeat("x", maxParameter) + "\x00"
	if err := s.Async('S', []byte(long)); !errors.Is(err, ErrProtocol) {
		t.Errorf("a long one: %v", err)
	}
}

// A log-in that does not end is left as well.
func TestLogInEnds(t *testing.T) {
	for name, say := range map[string]func(int) []byte{
		"parameters": parameter, "notices": always(wire.AppendFrame(nil, 'N', []byte("SNOTICE\x00C00000\x00Mx\x00\x00"))),
	} {
		t.Run(name, func(t *testing.T) {
			port := peer(t, func(c net.Conn) {
				readStartup(c)
				_, _ = c.Write(wire.AppendFrame(nil, 'R', make([]byte, 4)))
				_, _ = io.Copy(c, &endless{say: func(n int) []byte {
					var b []byte
					for i := range 100 {
						b = append(b, say(n*100+i)...)
					}
					return b
				}})
			})
			c, err := Parse(conninfoFor(port, "sslmode=disable"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Connect(t.Context(), nil)
			if s != nil || err == nil || !strings.Contains(err.Error(), "log-in of more than") {
				t.Errorf("error %v", err)
			}
		})
	}
	f := newFrameReader(&endless{say: always(wire.AppendFrame(nil, 'N', nil))})
	var all bytes.Buffer
	if _, err := io.Copy(&all, f); !errors.Is(err, ErrProtocol) || all.Len() > maxLogIn {
		t.Errorf("%d bytes, %v", all.Len(), err)
	}
}
