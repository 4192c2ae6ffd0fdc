package physical

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// frame is a whole message that has been read ahead.
type frame struct {
	typ  byte
	body []byte
}

// maxPrelude bounds the messages before the primary's first question or refusal: 'v' and notices.
const maxPrelude = 16

// errFull is a primary without a free walsender.
var errFull = errors.New("no free walsender")

// reach dials and sends the client's startup packet until the primary has a walsender for it, and returns what the
// primary said first. Nothing has been passed to the client then, so a primary that is full (53300) is asked again
// without the client's knowledge. That goes on for fullFor at most, and only while another log-in of ours has a
// walsender there or had one just now (ruling R31). Otherwise what it says has nothing to do with us, and is passed
// on. On success l.link owns the ticket.
func (l *login) reach(t *gate.Ticket) ([]frame, error) {
	places := l.s.h.o.Gate
	until := time.Now().Add(fullFor)
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		if err := places.WaitOpen(l.ctx); err != nil {
			return nil, err
		}
		ours := places.Others(t)
		first, err := l.attempt(t, func() bool { return time.Until(until) > wait && (ours || places.Others(t)) })
		if !errors.Is(err, errFull) {
			if err == nil {
				l.late = nil
			}
			return first, err
		}
		l.late = pgerror.From(err)
		if wait == retryFirst {
			defer places.Short()()
		}
		if err := deadline.Sleep(l.ctx, wait); err != nil {
			return nil, err
		}
	}
}

// primaryWait returns the time for which a log-in may wait now for a primary to be known.
func (h *Handler) primaryWait() time.Duration {
	if h.o.Finding() {
		return h.o.ConnectWait()
	}
	return 0
}

// attempt makes one connection. Its error wraps errFull and a *pgerror.Error when the primary is full and that may
// pass, as again says.
func (l *login) attempt(t *gate.Ticket, again func() bool) ([]frame, error) {
	dial, done := context.WithTimeout(l.ctx, dialTimeout)
	up, err := l.s.h.o.Upstream.Dial(dial, l.s.h.primaryWait())
	done()
	if err != nil {
		return nil, relay.Unreachable(fmt.Errorf("dial primary: %w", err))
	}
	k := &link{
		up: up, r: wire.NewReader(up.Conn, linkReadAhead),
		gate: l.s.h.o.Gate, ticket: t, keep: l.s.h.o.IdleKeep,
	}
	defer k.endsWith(l.ctx)()
	first, err := k.begin(l.s.startup())
	if err == nil {
		if full := fullError(first); full != nil && again() {
			err = fmt.Errorf("%w: %w", errFull, full)
		}
	} else {
		err = relay.Unreachable(fmt.Errorf("start log-in: %w", err))
	}
	if err != nil {
		k.end()
		return nil, err
	}
	l.link = k
	return first, nil
}

// startup returns the packet for the primary: the client's own. For a client that was answered here it asks for
// protocol 3.0, which every server has.
func (s *session) startup() []byte {
	if s.server.Verified() == nil {
		return s.req.Raw
	}
	_, packet := s.req.Negotiate(0)
	return packet
}

// begin sends the startup packet and returns the messages up to the first one that decides something, maxPrelude at
// most. It blocks until the deadline of the link.
func (l *link) begin(startup []byte) ([]frame, error) {
	if _, err := l.up.Conn.Write(startup); err != nil {
		return nil, err
	}
	var first []frame
	for len(first) < maxPrelude {
		h, err := l.r.Next()
		if err != nil {
			return nil, err
		}
		body, err := l.r.Body(h.Size, authwatch.MaxQuestion)
		if err != nil {
			return nil, err
		}
		first = append(first, frame{h.Type, append([]byte(nil), body...)})
		if h.Type != 'v' && h.Type != 'N' {
			return first, nil
		}
	}
	return nil, errors.New("too many messages before the first question")
}

// fullError returns the primary's refusal for lack of a walsender or a connection (53300). It returns nil for any other
// answer. first must not be empty.
func fullError(first []frame) *pgerror.Error {
	last := first[len(first)-1]
	if last.typ != 'E' {
		return nil
	}
	if e, ok := wire.ParseError(last.body); ok && e.Code == pgerror.TooManyConnections {
		return e
	}
	return nil
}
