package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// answerTimeout bounds one wait. A base backup checkpoints first.
	answerTimeout = 30 * time.Second
	// maxMessage is longer than any message of a server here: 128 kB of WAL and its header.
	maxMessage = 1 << 20
	walPage    = 8192
)

// session is one connection of an exchange.
type session struct {
	conn    net.Conn
	r       *bufio.Reader
	scram   scram   // the log-in that goes on
	key     []byte  // pid and key of a CancelRequest, as BackendKeyData had them
	copies  byte    // in COPY: 'W', 'H' or 'G'; 0: not
	logical bool    // the stream is of logical decoding, which is shown to nobody
	at      lsn.LSN // up to which WAL has come, once START_REPLICATION was sent
}

// send writes bytes. A connection that the server has closed already is no error: the answer shows it.
func (s *session) send(b []byte) error {
	_, err := s.conn.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// What a step waits for, beside the type of a message.
const (
	untilAnswered = "answer" // the server waits for the client, or has closed
	untilClosed   = "close"
	untilWAL      = "w"   // a piece of WAL
	untilEnd      = "end" // all WAL that the server has
	untilPing     = "k"   // a keepalive
	untilByte     = "byte"
)

// wait reads until what is waited for has come, and describes what came. WAL is shown only to who
// waits for it, since a server may write some at any time, and where it ends to who waits for all. So
// that nobody waits in vain, the end of the connection ends every wait; time is up with an error.
func (s *session) wait(until string) ([]string, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if until == untilByte {
		b, err := s.r.ReadByte()
		if err != nil {
			return []string{"closed"}, nil
		}
		return []string{fmt.Sprintf("byte %c", b)}, nil
	}
	var lines []string
	for {
		m, err := s.receive()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return tidy(append(lines, "closed")), nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return tidy(append(lines, "nothing more")), fmt.Errorf("waiting for %s: %w", until, err)
		case err != nil:
			return tidy(lines), err
		}
		line, event := s.take(m)
		switch {
		case until == untilWAL && (event == untilWAL || event == untilEnd):
			line, _, _ = strings.Cut(line, " up to ")
			lines = append(lines, line)
		case until == untilEnd || event != untilWAL && event != untilEnd:
			lines = append(lines, line)
		}
		if done(m, event, until) {
			return tidy(lines), nil
		}
	}
}

func done(m message, event, until string) bool {
	switch until {
	case untilAnswered:
		return event == untilAnswered
	case untilWAL:
		return event == untilWAL || event == untilEnd
	}
	return event == until || string(m.typ) == until
}

// take describes a message and says what it is to who waits.
func (s *session) take(m message) (line, event string) {
	switch m.typ {
	case 'K':
		s.key = m.body
	case 'H':
		s.copies = m.typ
	case 'W', 'G':
		s.copies = m.typ
		return m.describe(), untilAnswered
	case 'Z':
		s.copies = 0
		return m.describe(), untilAnswered
	case 'R':
		switch kind := binary.BigEndian.Uint32(append(m.body, 0, 0, 0, 0)); kind {
		case 0, saslFinal: // no question
		case saslContinue:
			s.scram.server = string(m.body[4:])
			return m.describe(), untilAnswered
		default:
			return m.describe(), untilAnswered
		}
	case 'd':
		switch {
		case s.logical:
			return "d", untilWAL
		case s.copies == 'W':
			return s.stream(m.body)
		}
		return "d", ""
	}
	return m.describe(), ""
}

// stream describes CopyData of a physical stream by what positions and times leave of it.
func (s *session) stream(body []byte) (line, event string) {
	if w, err := copyboth.DecodeXLogData(body); err == nil {
		line, event = "d w", untilWAL
		if s.at != w.Start {
			line += " not where it should go on,"
		}
		s.at = w.Start + lsn.LSN(len(w.Data))
		switch {
		case s.at == w.WALEnd:
			return line + " up to the end of WAL", untilEnd
		case s.at > w.WALEnd:
			return line + " up to beyond the end of WAL", untilEnd
		case s.at%walPage == 0:
			return line + " up to the end of a page", event
		}
		return line + " up to the middle of a page", event
	}
	if k, err := copyboth.DecodePrimaryKeepalive(body); err == nil {
		line = fmt.Sprintf("d k, reply requested: %v", k.ReplyRequested)
		if k.WALEnd != s.at {
			line += ", not at what was sent"
		}
		return line, untilPing
	}
	return fmt.Sprintf("d %x", body), ""
}

func (s *session) receive() (message, error) {
	var header [5]byte
	if _, err := io.ReadFull(s.r, header[:]); err != nil {
		return message{}, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if header[0] == 'E' && size > maxMessage { // an error of protocol 2.0 is a text and its NUL
		text, err := s.r.ReadString(0)
		return message{typ: 'E', body: []byte("M" + string(header[1:]) + text + "\x00")}, err
	}
	if size < 4 || size > maxMessage {
		return message{}, fmt.Errorf("message %q of %d bytes", header[0], size)
	}
	m := message{typ: header[0], body: make([]byte, size-4)}
	_, err := io.ReadFull(s.r, m.body)
	return m, err
}

// tidy puts neighbouring ParameterStatus messages into one order, as a server of 16 or later has none. It puts
// neighbouring CopyData of one kind into one line, since their number is a matter of time.
func tidy(lines []string) []string {
	isParameter := func(line string) bool { return strings.HasPrefix(line, "S ") }
	for i := 0; i < len(lines); i++ {
		j := i
		for j < len(lines) && isParameter(lines[j]) {
			j++
		}
		slices.Sort(lines[i:j])
		i = max(i, j-1)
	}
	var out []string
	for _, line := range lines {
		if n := len(out); n > 0 && out[n-1] == line && strings.HasPrefix(line, "d") {
			continue
		}
		out = append(out, line)
	}
	return out
}

var (
	anyLSN   = regexp.MustCompile(`\b[0-9A-F]+/[0-9A-F]+\b`)
	snapshot = regexp.MustCompile(`\b[0-9A-F]{8}-[0-9A-F]{8}-\d+\b`)
	anyPID   = regexp.MustCompile(`\bPID \d+`)
	startsAt = regexp.MustCompile(`START_REPLICATION .*?([0-9A-Fa-f]+/[0-9A-Fa-f]+)`)
)

// normal hides values that differ between two servers or two runs: positions but 0/0, process ids, the system
// identifier. It hides server_version, which stands at the top of a trace file, as well.
func (t *Target) normal(line string) string {
	line = anyLSN.ReplaceAllStringFunc(line, func(at string) string {
		if at == "0/0" {
			return at
		}
		return "LSN"
	})
	line = snapshot.ReplaceAllString(line, "SNAPSHOT")
	line = anyPID.ReplaceAllString(line, "PID n")
	return strings.NewReplacer(t.System, "SYSTEM", t.Version, "VERSION").Replace(line)
}
