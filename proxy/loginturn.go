package proxy

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/gate"
)

// answerDue is how long a client may think about a question of the primary while others wait for its
// turn to log in: a program answers within milliseconds, and libpq asks people before it connects again.
const answerDue = 5 * time.Second

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
}

// takeTurn waits for a place, as long as a log-in may take. The context ends when the place is taken back, and by
// over, which the caller owes.
func (s *Server) takeTurn(ctx context.Context, session *Session) (context.Context, *turn, error) {
	wait, stop := context.WithTimeout(ctx, s.o.AuthenticationTimeout)
	defer stop()
	if session.verified != nil {
		s.logins.Know(session.Origin())
	}
	t, err := s.logins.Acquire(wait, session.Origin())
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, nil, Tell(errShutdown().WithCause(context.Cause(ctx)))
	case err != nil:
		s.refusals.add(ReasonLogins)
		return nil, nil, Tell(errTooManyClients().
			WithDetail("Others have been logging in through replproxy for %s.", s.o.AuthenticationTimeout).
			WithHint("limits.max_logins of replproxy bounds log-ins at a time.").WithCause(err))
	}
	ctx, revoke := context.WithCancelCause(ctx)
	return ctx, &turn{s.logins, t, revoke}, nil
}

// end gives the place back; it may be called again.
func (t *turn) end() { t.gate.Leave(t.ticket) }

// done gives it back after a log-in.
func (t *turn) done() {
	t.gate.Prove(t.ticket)
	t.end()
}

// over ends the context too.
func (t *turn) over() {
	t.end()
	t.revoke(nil)
}

// waiting is told that the client owes an answer, or has given it.
func (t *turn) waiting(waiting bool) {
	if !waiting {
		t.gate.Busy(t.ticket)
		return
	}
	t.gate.Yield(t.ticket, time.Now().Add(answerDue), time.Time{}, func() { t.revoke(errAnswerDue()) })
}
