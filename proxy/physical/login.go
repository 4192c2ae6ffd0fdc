package physical

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// login is one log-in in progress. The session's goroutine passes what the primary says; the
// client's listener passes the answers, one for each question.
type login struct {
	s      *session
	ctx    context.Context // ends with the cause of a failure
	fail   context.CancelCauseFunc
	watch  *authwatch.Watch
	link   *link
	asks   chan struct{}  // one for each question that has not been answered
	stop   func()         // the client's listener; idempotent
	in     bool           // the client has authenticated
	mu     sync.Mutex     // guards ticket
	ticket *gate.Ticket   // of log-ins that are passed on
	late   *pgerror.Error // what the client is told when the time is up, nil: just that

	foretold *foretold // its question has not been answered; the listener's from the question on
	noted    bool      // what the primary asks has been noted
}

// logIn relays the client's log-in to the primary. When it returns nil the client has seen
// ReadyForQuery and s.link is idle. An error that is a *pgerror.Error is owed to the client.
func (s *session) logIn(parent context.Context) error {
	limited, done := context.WithTimeoutCause(parent, s.h.o.AuthenticationTimeout, errAuthenticationTimeout())
	defer done()
	ctx, fail := context.WithCancelCause(limited)
	defer fail(nil)
	l := &login{s: s, ctx: ctx, fail: fail, asks: make(chan struct{}, 1)}
	s.h.learnLimit()
	defer func() {
		if l.link == nil && l.ticket != nil {
			s.h.o.Gate.Leave(l.ticket)
		}
	}()
	l.stop = s.client.listen(ctx, func(_ context.Context, err error) { fail(err) }, l.answer)
	defer l.stop()

	// A client that does not read what it is told is ended by the same time-out.
	_ = s.client.conn.SetWriteDeadline(time.Now().Add(s.h.o.AuthenticationTimeout))
	err := l.run()
	l.stop()
	if ctx.Err() != nil && !errors.Is(err, errRefused) {
		err = l.cause(parent) // whatever broke, broke because of it
	}
	if err != nil {
		if l.link != nil {
			l.link.close()
		}
		return err
	}
	_ = s.client.conn.SetWriteDeadline(time.Time{})
	s.link = l.link
	s.link.giveBack()
	return nil
}

// place returns the ticket, nil before there is one. The client's listener asks, too.
func (l *login) place() *gate.Ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ticket
}

func (l *login) setTicket(t *gate.Ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticket = t
}

// cause returns the reason why the log-in was broken off.
func (l *login) cause(parent context.Context) error {
	cause := context.Cause(l.ctx)
	switch {
	case parent.Err() != nil:
		return errShutdown()
	case l.late != nil && errors.Is(cause, errAuthenticationTimeout()):
		return l.late
	}
	return cause
}

func (l *login) run() error {
	gate := l.s.h.o.Gate
	if gate.Limit() == 0 {
		return errNoWalsender()
	}
	t, told, err := l.enter()
	if err != nil {
		return err
	}
	l.late = nil
	if told != nil {
		gate.Spoke(t)
	}
	first, err := l.reach(t)
	if err != nil {
		gate.Leave(t)
		return err
	}
	defer l.link.endsWith(l.ctx)()
	l.watch = authwatch.New(authwatch.Legs{
		ClientTLS:       l.s.clientTLS(),
		UpstreamTLS:     l.link.up.TLS,
		SameCertificate: authwatch.SameCertificate(l.s.req.Certificate, l.link.up.Conn),
		Physical:        l.s.console == nil, // which is a database to the rules
		Trusted:         l.s.server.Access().Method == access.Trust,
	})
	for _, f := range first {
		if told != nil {
			if done, err := l.resume(told, f); err != nil {
				return err
			} else if done {
				continue
			}
		}
		if over, err := l.frame(f.typ, f.body); over || err != nil {
			return err
		}
	}
	for {
		h, body, err := l.read()
		if err != nil {
			return err
		}
		if body == nil && h.Size > 0 { // a large one
			if err := l.passLarge(h); err != nil {
				return err
			}
			continue
		}
		if over, err := l.frame(h.Type, body); over || err != nil {
			return err
		}
	}
}

// passLarge passes a message whose body is still to come. The memory for it is bounded. errRefused: it was an
// ErrorResponse, and the client has it.
func (l *login) passLarge(h wire.Header) error {
	err := l.s.client.putFrom(l.link.r, h.Type, h.Size)
	if err == nil {
		err = l.s.client.flush()
	}
	if err == nil && h.Type == 'E' {
		err = errRefused
	}
	return err
}

// frame judges and passes one message of the primary. over: the client may send commands. It may block until another
// log-in gives its place back. An error ends the log-in.
func (l *login) frame(typ byte, body []byte) (over bool, err error) {
	asked := body // what is passed on may be less
	step, body, err := l.watch.FromUpstream(typ, body)
	if err != nil {
		return false, err
	}
	switch step {
	case authwatch.Authenticated:
		l.in = true
		l.stop()
		if !l.link.take() {
			<-l.ctx.Done() // reclaimed: the cause says why
			return false, context.Cause(l.ctx)
		}
		l.link.gate.Prove(l.link.ticket)
		l.s.server.Proved()
	case authwatch.Ask:
		if !l.noted {
			l.s.h.offers.note(l.s.req.User(), asked)
		}
		l.noted = true
		now := time.Now()
		l.link.gate.Yield(l.link.ticket, now.Add(answerDue), time.Time{}, func() { l.fail(errAnswerDue()) })
	}
	if step == authwatch.Refused {
		if e, ok := wire.ParseError(body); ok {
			l.link.gate.Leave(l.link.ticket) // nobody waits for the client's punishment
			l.s.server.Refused(e)
		}
	}
	if body, err = l.s.loginMessage(l.link, typ, body); err != nil {
		return false, err
	}
	err = l.s.client.put(wire.AppendFrame(nil, typ, body))
	if err == nil && (step != authwatch.Pass || l.link.r.Buffered() == 0) {
		err = l.s.client.flush()
	}
	if err != nil {
		return false, err
	}
	switch step {
	case authwatch.Ask:
		select {
		case l.asks <- struct{}{}:
		default: // the one before needed no answer (GSS): the client may still give one
		}
	case authwatch.Refused:
		e, _ := wire.ParseError(body)
		return false, fmt.Errorf("%w: %w", errRefused, e)
	case authwatch.Ready:
		l.link.loggedIn = true
		return true, nil
	}
	return false, nil
}

// read returns the primary's next message; its body is valid until the next read. Once the client has authenticated,
// what the primary reports may have any size: then the body is nil and still to be read.
func (l *login) read() (wire.Header, []byte, error) {
	h, err := l.link.r.Next()
	if err == nil && l.in && h.Size > authwatch.MaxQuestion && strings.IndexByte("NSE", h.Type) >= 0 {
		return h, nil, nil
	}
	if err == nil {
		var body []byte
		if body, err = l.link.r.Body(h.Size, authwatch.MaxQuestion); err == nil {
			return h, body, nil
		}
	}
	return h, nil, relay.Unreachable(fmt.Errorf("read log-in from primary: %w", err))
}
