package trace

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Codes of the first packet of a connection (facts A1).
const (
	protocol3  = 3 << 16
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
)

// encode makes the bytes of a message out of its words, whose variables are replaced already.
func encode(words string) ([]byte, error) {
	verb, rest, _ := strings.Cut(words, " ")
	rest, err := corpus.Unescape(rest)
	if err != nil {
		return nil, err
	}
	switch verb {
	case "Q", "f", "p":
		return frame(verb[0], rest+"\x00"), nil
	case "d":
		return frame('d', rest), nil
	case "P":
		return frame('P', "\x00"+rest+"\x00\x00\x00"), nil
	case "B":
		return frame('B', strings.Repeat("\x00", 8)), nil
	case "D", "C":
		return frame(verb[0], "S\x00"), nil
	case "E":
		return frame('E', strings.Repeat("\x00", 5)), nil
	case "F":
		return frame('F', "\x00\x00\x00\x01"+strings.Repeat("\x00", 6)), nil
	case "S", "H", "X", "c":
		return frame(verb[0], ""), nil
	case "status":
		return status(rest)
	case "feedback":
		b := copyboth.HotStandbyFeedback{SentAt: copyboth.TimeOf(time.Now())}.Append(nil)
		return frame('d', string(b)), nil
	case "ssl":
		return packet(sslCode, ""), nil
	case "gss":
		return packet(gssCode, ""), nil
	case "bytes":
		return []byte(rest), nil
	}
	if minor, ok := strings.CutPrefix(verb, "startup"); ok {
		return startup(minor, words)
	}
	return nil, fmt.Errorf("unknown message %q", words)
}

// status returns a standby's report: its one position, and whether it wants an answer.
func status(words string) ([]byte, error) {
	at, reply, _ := strings.Cut(words, " ")
	pos, err := lsn.Parse(at)
	if err != nil {
		return nil, err
	}
	r := copyboth.StatusUpdate{
		Progress: lsn.Progress{Write: pos, Flush: pos, Apply: pos}, SentAt: copyboth.TimeOf(time.Now()),
		ReplyRequested: reply == "reply",
	}
	return frame('d', string(r.Append(nil))), nil
}

// startup returns a startup packet: "startup user=a replication=true", or "startup/3.7 …".
func startup(version, words string) ([]byte, error) {
	code := uint32(protocol3)
	if version != "" {
		var major, minor uint32
		if _, err := fmt.Sscanf(version, "/%d.%d", &major, &minor); err != nil {
			return nil, fmt.Errorf("version of %q: %w", words, err)
		}
		code = major<<16 | minor
	}
	body := ""
	for _, word := range strings.Fields(words)[1:] {
		name, value, _ := strings.Cut(word, "=")
		value, err := corpus.Unescape(value)
		if err != nil {
			return nil, err
		}
		body += name + "\x00" + value + "\x00"
	}
	return packet(code, body+"\x00"), nil
}

func frame(typ byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(body))), body...)
}

func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}
