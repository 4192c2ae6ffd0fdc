package hostile

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/internal/wire"
)

func columns(row []byte) (all []string) {
	if len(row) < 2 {
		return nil
	}
	for b := row[2:]; len(b) >= 4; {
		n := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if n < 0 {
			all = append(all, "")
			continue
		}
		all, b = append(all, string(b[:n])), b[n:]
	}
	return all
}

func (p *peer) frame() (typ byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<26 {
		return 0, nil, fmt.Errorf("frame %q of %d bytes", head[0], n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(p.r, body)
	return head[0], body, err
}

func word(typ byte, body []byte) string {
	switch typ {
	case 'R':
		if len(body) < 4 {
			return "malformed"
		}
		switch binary.BigEndian.Uint32(body) {
		case 0:
			return "ok"
		case 11:
			return "continue"
		case 12:
			return "final"
		}
		return "asked"
	case 'E':
		return sqlstate(body)
	case 'd':
		return "stream"
	}
	return map[byte]string{'v': "negotiate", 'Z': "ready", 'W': "copy", 'G': "copyin", 'H': "copyout"}[typ]
}

func sqlstate(body []byte) string {
	e, ok := wire.ParseError(body)
	if !ok {
		return "malformed"
	}
	return string(e.Code)
}

func frame(typ byte, body string) []byte { return wire.AppendFrame(nil, typ, []byte(body)) }

func header(typ byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ}, length)
}

func query(text string) []byte { return frame('Q', text+"\x00") }

func (p *peer) query(text string) *peer { return p.send(query(text)) }

// startup is a packet without a type: its length, then the words.
func startup(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

const v3 = "\x00\x03\x00\x00"

// parameters are those of a StartupMessage of version 3.0.
func parameters(of ...string) []byte { return startup(v3 + strings.Join(of, "\x00") + "\x00\x00") }

func cancelRequest(pid uint32, key []byte) []byte {
	return startup(string(append(binary.BigEndian.AppendUint32([]byte("\x04\xd2\x16\x2e"), pid), key...)))
}

func report(m copyboth.StatusUpdate) []byte { return wire.AppendFrame(nil, 'd', m.Append(nil)) }

func feedback(m copyboth.HotStandbyFeedback) []byte { return wire.AppendFrame(nil, 'd', m.Append(nil)) }
