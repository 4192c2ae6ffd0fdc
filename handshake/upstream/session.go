package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/stamp"
	"github.com/replproxy/replproxy/internal/wire"
)

// Bounds of a Session, in bytes and seconds.
const (
	// readAhead is the Reader's buffer: many keepalives in one system call, yet small against a
	// 128 KiB WAL message, whose bulk bypasses it.
	readAhead = 16 << 10
	// maxAnswerMessage bounds one message of a command's answer; a timeline history of a thousand
	// switches is below 100 kB.
	maxAnswerMessage = 4 << 20
	// maxAnswer bounds a whole answer: no command of ours returns more than a few rows. maxLogIn bounds all
	// that comes before ReadyForQuery, some kilobytes from a server. Of both each message takes messageCost at
	// least, as it does of our memory: ones that say nothing come to an end too.
	maxAnswer   = 16 << 20
	maxLogIn    = 4 << 20
	messageCost = 64
	// maxParameters bounds how many parameters a server reports, about fifteen, and maxParameter each of them.
	maxParameters = 100
	maxParameter  = 64 << 10
	// closeWait bounds the farewell of Close.
	closeWait = time.Second
)

// ErrProtocol reports a server that does not keep to the protocol.
var ErrProtocol = errors.New("protocol violation by the upstream server")

// Session is a logged-in connection, ready for a query. Reader yields everything the server sends;
// writes go to Conn. Between commands the owner may take both and speak by itself (COPY).
type Session struct {
	Arrival    stamp.Arrival // of the connection in clear
	Conn       net.Conn
	Reader     *wire.Reader
	Parameters map[string]string // ParameterStatus, kept up to date while answers are read
	PID        uint32
	Key        []byte
	Endpoint   Endpoint // with the address reached
}

// Result is one result set or command. A nil value is NULL. Rows are owned by the caller.
type Result struct {
	Columns []string
	Rows    [][][]byte
	Tag     string
}

// Answer has the results of one command up to the error, if there was one.
type Answer struct {
	Results []Result
	Err     error
}

// Query runs one command of the simple protocol and reads up to ReadyForQuery. A server's refusal is
// a *pgerror.Error, and after an ERROR the session goes on. Any other error, and the end of ctx, leaves
// the session unusable. It blocks until then.
func (s *Session) Query(ctx context.Context, command string) ([]Result, error) {
	a, err := s.QueryAll(ctx, command)
	if err != nil {
		return nil, err
	}
	return a[0].Results, a[0].Err
}

// QueryAll sends all commands at once, and blocks until it has read their answers in order: one round trip. A refusal
// of a command is no error: it stands in that command's answer, and after an ERROR the session goes on. After an error,
// such as the end of ctx, the session is unusable.
func (s *Session) QueryAll(ctx context.Context, commands ...string) ([]Answer, error) {
	done := s.until(ctx)
	err := s.send(commands...)
	answers := make([]Answer, 0, len(commands))
	for range commands {
		if err != nil {
			break
		}
		var a Answer
		if a, _, err = s.answer(false); err == nil {
			answers = append(answers, a)
		}
	}
	if err = done(err); err != nil {
		return nil, err
	}
	return answers, nil
}

// StartCopy runs START_REPLICATION. copying means that CopyBothResponse came and that Conn and Reader
// are in COPY mode now. Otherwise the command is over, with results (the end of a historic timeline,
// facts E1) or with the server's refusal. The frames of ahead go out together with the command, so that
// the server reads them before it sends WAL; after a refusal it ignores them.
func (s *Session) StartCopy(ctx context.Context, command string, ahead ...byte) (
	copying bool, res []Result, err error) {
	done := s.until(ctx)
	var a Answer
	if err = s.write(append(appendQuery(nil, command), ahead...)); err == nil {
		a, copying, err = s.answer(true)
	}
	if err = done(err); err != nil {
		return false, nil, err
	}
	return copying, a.Results, a.Err
}

// FinishCopy reads the messages behind a COPY that both sides have ended: results, then ReadyForQuery. CopyData that is
// still on its way is dropped.
func (s *Session) FinishCopy(ctx context.Context) ([]Result, error) {
	done := s.until(ctx)
	a, _, err := s.answer(false)
	if err = done(err); err != nil {
		return nil, err
	}
	return a.Results, a.Err
}

// Close says goodbye if the socket takes it and closes.
func (s *Session) Close() error {
	s.Conn.SetWriteDeadline(time.Now().Add(closeWait))
	s.Conn.Write(wire.AppendHeader(nil, 'X', 0))
	return s.Conn.Close()
}

// until makes I/O on the session end when ctx does. The returned func ends the watch and turns an I/O
// error caused by it into the context's cause.
func (s *Session) until(ctx context.Context) func(error) error {
	stop := deadline.By(ctx, s.Conn.SetDeadline)
	return func(err error) error {
		if stop() && err == nil {
			return context.Cause(ctx) // the session is of no use any more
		}
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	}
}

// QueryBound runs one statement by the extended protocol, whose $1, $2 … are args, bound as text. Nothing of args
// becomes part of the statement.
func (s *Session) QueryBound(ctx context.Context, statement string, args ...string) ([]Result, error) {
	b := wire.AppendFrame(nil, 'P', append(append([]byte{0}, statement...), 0, 0, 0))
	bind := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, uint16(len(args)))
	for _, arg := range args {
		bind = append(binary.BigEndian.AppendUint32(bind, uint32(len(arg))), arg...)
	}
	b = wire.AppendFrame(b, 'B', append(bind, 0, 0)) // results as text
	b = wire.AppendFrame(b, 'D', []byte{'P', 0})
	b = wire.AppendFrame(b, 'E', []byte{0, 0, 0, 0, 0})
	b = wire.AppendFrame(b, 'S', nil)
	done := s.until(ctx)
	var a Answer
	err := s.write(b)
	if err == nil {
		a, _, err = s.answer(false)
	}
	if err = done(err); err != nil {
		return nil, err
	}
	return a.Results, a.Err
}

func (s *Session) send(commands ...string) error {
	var b []byte
	for _, c := range commands {
		b = appendQuery(b, c)
	}
	return s.write(b)
}

func appendQuery(b []byte, command string) []byte {
	return append(append(wire.AppendHeader(b, 'Q', len(command)+1), command...), 0)
}

func (s *Session) write(b []byte) error {
	if _, err := s.Conn.Write(b); err != nil {
		return fmt.Errorf("send command: %w", err)
	}
	return nil
}

// answer reads one command's answer, up to ReadyForQuery or the beginning of COPY. COPY is an error without
// copyAllowed. An ERROR of the server is a.Err, and err is nil.
func (s *Session) answer(copyAllowed bool) (a Answer, copying bool, err error) {
	cur, total := Result{}, 0
	for {
		h, err := s.Reader.Next()
		if err != nil {
			if a.Err != nil && errors.Is(err, io.EOF) { // FATAL: the server has said why and left
				return a, false, nil
			}
			return a, false, fmt.Errorf("read answer: %w", err)
		}
		body, err := s.Reader.Body(h.Size, maxAnswerMessage)
		if err != nil {
			return a, false, fmt.Errorf("read answer: %w", err)
		}
		if total += h.Size + messageCost; total > maxAnswer {
			return a, false, fmt.Errorf("%w: answer of more than %d bytes", ErrProtocol, maxAnswer)
		}
		switch h.Type {
		case 'T':
			cur.Columns, err = parseRowDescription(body)
		case 'D':
			var row [][]byte
			row, err = parseDataRow(body)
			cur.Rows = append(cur.Rows, row)
		case 'C', 'I':
			cur.Tag = string(bytes.TrimSuffix(body, []byte{0}))
			a.Results, cur = append(a.Results, cur), Result{}
		case 'E':
			e, ok := wire.ParseError(body)
			if !ok {
				err = fmt.Errorf("%w: malformed ErrorResponse", ErrProtocol)
			}
			a.Err = e
			if e.IsFatal() {
				return a, false, err
			}
		case 'Z':
			return a, false, nil
		case 'W':
			if copyAllowed {
				return a, true, nil
			}
			err = fmt.Errorf("%w: unexpected CopyBothResponse", ErrProtocol)
		case 'd', 'c': // late COPY traffic (facts E6)
		case '1', '2', 'n': // parsed, bound, no rows to come (QueryBound)
		default:
			err = s.Async(h.Type, body)
		}
		if err != nil {
			return a, false, err
		}
	}
}

// Async takes a message that may come at any time: ParameterStatus is stored; a notice or a
// notification is dropped. Any other type wraps [ErrProtocol].
func (s *Session) Async(typ byte, body []byte) error {
	switch typ {
	case 'S':
		name, rest, ok1 := bytes.Cut(body, []byte{0})
		value, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok1 || !ok2 || len(rest) > 0 {
			return fmt.Errorf("%w: malformed ParameterStatus", ErrProtocol)
		}
		_, known := s.Parameters[string(name)]
		switch {
		case len(body) > maxParameter:
			return fmt.Errorf("%w: ParameterStatus of %d bytes, more than %d", ErrProtocol, len(body), maxParameter)
		case !known && len(s.Parameters) >= maxParameters:
			return fmt.Errorf("%w: more than %d parameters", ErrProtocol, maxParameters)
		}
		if s.Parameters == nil {
			s.Parameters = map[string]string{}
		}
		s.Parameters[string(name)] = string(value)
		return nil
	case 'N', 'A':
		return nil
	}
	return fmt.Errorf("%w: unexpected message type %q", ErrProtocol, typ)
}
