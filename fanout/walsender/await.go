package walsender

import (
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// await waits for WAL that is being fetched, however long that takes. The standby hears from us
// meanwhile, and its silence or its end ends the wait; what is to be done then, decide says.
func (s *Sender) await(done <-chan struct{}) error {
	tick := time.NewTicker(writeTick)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-s.nudge:
		case <-tick.C:
		}
		over, due, err := s.patience(time.Now())
		if err == nil && due {
			err = s.act(action{kind: doKeepalive, ping: true})
		}
		if over || err != nil {
			return err
		}
	}
}

// patience looks at the standby while it waits: over when it ended COPY, due when it should hear
// from us.
func (s *Sender) patience(now time.Time) (over, due bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := s.core; {
	case s.end != nil:
		return true, false, s.end
	case c.draining: // what it waits for does not come in time
		return true, false, pgerror.Fatal(pgerror.AdminShutdown,
			"terminating connection due to administrator command")
	default:
		due = c.owed || c.doubt.ask || now.Sub(c.lastSent) >= idleKeepalive-writeTick
		c.owed, c.doubt.ask = false, false
		return c.doneReceived, due, c.blocked(now)
	}
}
