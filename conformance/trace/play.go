package trace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Target is a server that exchanges are played against: PostgreSQL, or the proxy in front of it.
type Target struct {
	Address string
	System  string // its system identifier
	Version string // its server_version
	// Variable is the present value of $name.
	Variable func(ctx context.Context, name string) (string, error)
	// Do executes a step "sql> …" or "do> …", outside of the protocol.
	Do func(ctx context.Context, verb, words string) error
}

// Play runs an exchange and returns what came back at each step. An error means that the exchange
// could not be played to its end; what came up to there is returned as well.
func (t *Target) Play(ctx context.Context, e *Exchange) ([][]string, error) {
	p := &play{ctx: ctx, t: t, sessions: map[string]*session{}}
	defer p.hangUp()
	answers := make([][]string, len(e.Steps))
	for i, step := range e.Steps {
		lines, err := p.step(step.Text)
		for j := range lines {
			lines[j] = t.normal(lines[j])
		}
		answers[i] = lines
		if err != nil {
			return answers, fmt.Errorf("%s: %s: %w", e.Name, step.Text, err)
		}
	}
	return answers, nil
}

type play struct {
	ctx      context.Context
	t        *Target
	sessions map[string]*session
}

func (p *play) hangUp() {
	for _, s := range p.sessions {
		_ = s.conn.Close()
	}
}

// cancelInterval is the interval at which a CancelRequest is repeated.
const cancelInterval = 50 * time.Millisecond

// stepForm is "name> words": the session (one of them may have no name), how to act, on what.
var stepForm = regexp.MustCompile(`^([a-z]*)([>+?]) (.*)$`)

var variable = regexp.MustCompile(`\$[a-z_]+`)

func (p *play) step(text string) ([]string, error) {
	m := stepForm.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("not a step")
	}
	name, act := m[1], m[2]
	words, err := p.expand(name, m[3])
	if err != nil {
		return nil, err
	}
	verb, rest, _ := strings.Cut(words, " ")
	switch {
	case name == "sql" || name == "do":
		return nil, p.t.Do(p.ctx, name, words)
	case verb == "connect":
		return nil, p.connect(name, rest)
	case verb == "interrupt":
		return nil, p.interrupt(p.sessions[rest])
	}
	s, err := p.session(name)
	if err != nil {
		return nil, err
	}
	until := untilAnswered
	switch {
	case act == "?":
		return s.wait(words)
	case verb == "cancel":
		return s.cancel(p.sessions[rest])
	case verb == "eof":
		return nil, s.conn.(*net.TCPConn).CloseWrite()
	case verb == "ssl" || verb == "gss":
		until = untilByte
	case verb == "X":
		until = untilClosed
	}
	var b []byte
	switch {
	case words == "scram first":
		b = s.scram.first()
	case verb == "scram":
		b, err = s.scram.final(rest)
	default:
		b, err = encode(words)
	}
	if err != nil {
		return nil, err
	}
	s.logical = verb == "Q" && strings.Contains(words, " LOGICAL ") || verb != "Q" && s.logical
	if start := startsAt.FindStringSubmatch(words); start != nil && verb == "Q" {
		if s.at, err = lsn.Parse(start[1]); err != nil {
			return nil, err
		}
	}
	if err := s.send(b); err != nil || act == "+" {
		return nil, err
	}
	return s.wait(until)
}

// expand replaces variables. $sent is what session has been sent, the others are the target's.
func (p *play) expand(session, words string) (string, error) {
	var failed error
	words = variable.ReplaceAllStringFunc(words, func(name string) string {
		if s := p.sessions[session]; s != nil && name == "$sent" {
			return s.at.String()
		}
		value, err := p.t.Variable(p.ctx, name[1:])
		failed = errors.Join(failed, err)
		return value
	})
	return words, failed
}

func (p *play) dial() (*session, error) {
	var d net.Dialer
	conn, err := d.DialContext(p.ctx, "tcp", p.t.Address)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, r: bufio.NewReader(conn)}, nil
}

// session returns the named one, which is dialled when it is new.
func (p *play) session(name string) (*session, error) {
	if s := p.sessions[name]; s != nil {
		return s, nil
	}
	s, err := p.dial()
	if err == nil {
		p.sessions[name] = s
	}
	return s, err
}

// connect logs in without a trace of it, for exchanges about what comes later.
func (p *play) connect(name, words string) error {
	s, err := p.session(name)
	if err != nil {
		return err
	}
	b, err := encode("startup user=postgres " + words)
	if err != nil {
		return err
	}
	if err := s.send(b); err != nil {
		return err
	}
	lines, err := s.wait(untilAnswered)
	if err == nil && lines[len(lines)-1] != "Z I" {
		err = fmt.Errorf("not let in: %q", lines)
	}
	return err
}

// interrupt sends CancelRequests for a session until it answers: one that comes before the command has
// begun is ignored.
func (p *play) interrupt(s *session) error {
	for deadline := time.Now().Add(answerTimeout); time.Now().Before(deadline); {
		if err := p.cancelOnce(s); err != nil {
			return err
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(cancelInterval)); err != nil {
			return err
		}
		if _, err := s.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return errors.New("nothing was cancelled")
}

func (p *play) cancelOnce(s *session) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	_, err = c.cancel(s)
	return err
}

// cancel sends a CancelRequest for another session on this new connection.
func (s *session) cancel(other *session) ([]string, error) {
	if other == nil {
		return nil, errors.New("no such session to cancel")
	}
	if err := s.send(packet(cancelCode, string(other.key))); err != nil {
		return nil, err
	}
	return s.wait(untilClosed)
}
