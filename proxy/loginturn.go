package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// answerDue is the time for which a client may think about a question of the primary while others wait to log in. A
// program answers within milliseconds, and libpq asks people before it connects again.
const answerDue = 5 * time.Second

// silentAfter is the time for which the primary may be silent after a startup packet until that counts as the client's
// last answer. pg_hba.conf then asks for nothing, and the session takes long to begin.
const silentAfter = time.Second

// closedGrace bounds the time to reach the primary for a client that has ended its side, which PostgreSQL answers: a
// connection takes less. Nobody waits longer for one that has most likely gone.
const closedGrace = 100 * time.Millisecond

func errTooManyClients() *pgerror.Error {
	return pgerror.Fatal(pgerror.TooManyConnections, "sorry, too many clients already")
}

func errAnswerDue() *pgerror.Error {
	return errAuthenticationTimeout().
		WithDetail("Others wait to log in, and each log-in takes a connection to the primary.")
}

// turn is one log-in's place among those that hold a connection to the primary.
type turn struct {
	gate   *gate.Gate
	ticket *gate.Ticket
	revoke context.CancelCauseFunc

	mu     sync.Mutex
	last   relay.Event // that came
	silent *time.Timer // until the primary counts as slow
}

// takeTurn waits for a place, as long as a log-in may take. The context ends when the place is taken back, and by
// over, which the caller owes. A client that leaves leaves its place in the queue, and one that may have left waits
// behind all others.
func (s *Server) takeTurn(ctx context.Context, session *Session) (context.Context, *turn, error) {
	from, to := session.Origin(), session.database
	if session.verified != nil {
		s.logins.Know(from)
	}
	ticket := s.logins.Enter(from, to)
	var err error
	select {
	case <-ticket.Granted(): // as nearly always
	default:
		err = s.awaitTurn(ctx, session, ticket)
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, nil, Tell(errShutdown().WithCause(context.Cause(ctx)))
	case errors.Is(err, errHungUp):
		return nil, nil, err
	case err != nil:
		s.refusals.add(ReasonLogins)
		return nil, nil, Tell(errTooManyClients().
			WithDetail("Others have been logging in through replproxy for %s.", s.o.AuthenticationTimeout).
			WithHint("limits.max_logins of replproxy bounds log-ins at a time.").WithCause(err))
	}
	ctx, revoke := context.WithCancelCause(ctx)
	return ctx, &turn{gate: s.logins, ticket: ticket, revoke: revoke}, nil
}

// awaitTurn waits for a place that is not to be had at once. It gives ticket up unless it returns nil.
func (s *Server) awaitTurn(ctx context.Context, session *Session, ticket *gate.Ticket) error {
	limited, stop := context.WithTimeout(ctx, s.o.AuthenticationTimeout)
	defer stop()
	return attended(limited, session.conn, nil, func() { s.logins.Last(ticket) }, func(ctx context.Context) error {
		return s.logins.Wait(ctx, ticket)
	})
}

// over gives the place back and ends the context.
func (t *turn) over() {
	t.on(relay.Left)
	t.gate.Leave(t.ticket)
	t.revoke(nil)
}

// on follows the log-in, from any goroutine.
func (t *turn) on(e relay.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent != nil {
		t.silent.Stop()
	}
	t.last = e
	switch e {
	case relay.Begun:
		t.silent = time.AfterFunc(silentAfter, t.slow)
	case relay.Asked:
		t.gate.Yield(t.ticket, time.Now().Add(answerDue), time.Time{}, func() { t.revoke(errAnswerDue()) })
	case relay.Answered, relay.Left:
		t.gate.Answer(t.ticket)
	case relay.Authenticated:
		t.gate.Prove(t.ticket)
		t.gate.Leave(t.ticket)
	}
}

// slow notes that the primary has not answered the startup packet, unless it has meanwhile.
func (t *turn) slow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == relay.Begun {
		t.gate.Answer(t.ticket)
	}
}

// grace is the time that a client has, from when it is first seen to have ended its side, over several waits.
type grace struct{ ends time.Time } // zero: it has not ended its side

// left returns the rest of the grace of a client that has ended its side.
func (g *grace) left(now time.Time) time.Duration {
	if g.ends.IsZero() {
		g.ends = now.Add(closedGrace)
	}
	return g.ends.Sub(now)
}

// attended runs f while it watches conn's client, of which nothing is read meanwhile: f's context ends with errHungUp
// when the client has gone. One that has only ended its side counts as gone after its grace, nil being none. ended is
// called when it says nothing more but what it said is unread; nil is nobody.
func attended(
	ctx context.Context, conn net.Conn, grace *grace, ended func(), f func(context.Context) error,
) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	stop := hangup.Watch(conn, false, func(n hangup.News) {
		switch {
		case n == hangup.Closed && grace != nil:
			timer := time.AfterFunc(grace.left(time.Now()), func() { leave(errHungUp) })
			context.AfterFunc(ctx, func() { timer.Stop() })
		case n != hangup.Ended:
			leave(errHungUp)
		case ended != nil:
			ended()
		}
	})
	defer stop()
	err := f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errHungUp) {
		return errHungUp
	}
	return err
}
