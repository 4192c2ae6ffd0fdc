package physical

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// firstDelay lies between two looks for what the primary has yet to tell a proxy that has just started: within a few
// tenths of a second it has.
const firstDelay = 20 * time.Millisecond

// awaitFirst waits while the proxy has no WAL at all, as clients wait for a primary: up to connect_wait, from the
// first command of the session that needs it on. Then the command says that the database system is starting up. A
// client that goes away, or cancels the command, is not waited for, nor is the primary once the server stops: parent.
func (s *session) awaitFirst(parent, ctx context.Context, cmd grammar.Command) error {
	switch c := cmd.(type) {
	case *grammar.IdentifySystem, *grammar.TimelineHistory, *grammar.StartPhysical:
	case *grammar.CreateSlot:
		if c.Logical || !c.ReserveWAL {
			return nil
		}
	default:
		return nil
	}
	return s.awaitPrimary(parent, ctx, func() bool {
		_, err := s.h.o.Hub.Identify()
		var e *pgerror.Error
		return !errors.As(err, &e) || e.Code != pgerror.CannotConnectNow
	})
}

// awaitPrimary waits until known says that the proxy has heard from its primary, or connect_wait is over; not beyond
// the end of ctx or parent.
func (s *session) awaitPrimary(parent, ctx context.Context, known func() bool) error {
	if known() {
		return nil
	}
	if s.until.IsZero() {
		s.until = time.Now().Add(s.h.o.ConnectWait())
	}
	if !time.Now().Before(s.until) {
		return nil
	}
	watched, done := s.watched(parent, ctx)
	defer done()
	tick := time.NewTicker(firstDelay)
	defer tick.Stop()
	for !known() && time.Now().Before(s.until) {
		select {
		case <-watched.Done():
			return context.Cause(watched)
		case <-tick.C:
		}
	}
	return nil
}
