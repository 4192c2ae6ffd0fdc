package walsender

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// observe tells the core where the horizon is. It fails where the timeline that is streamed is none of the store's any
// more. The caller holds mu.
func (s *Sender) observe(now time.Time) error {
	pos := s.o.Store.Served()
	if pos.Timeline != s.current {
		if err := s.switched(pos.Timeline, now); err != nil {
			return err
		}
	}
	bound := NoBound
	if s.bounded {
		bound = s.o.Covered(pos.Timeline)
	}
	return s.core.available(pos.End, bound, pos.Held, now)
}

// outdated reports whether WAL up to limit is no longer to be sent.
func (s *Sender) outdated(limit lsn.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.observe(time.Now()) // the next decision meets the same error
	return err != nil || s.core.horizon < limit
}

// switched adapts the stream to a new current timeline of the store.
func (s *Sender) switched(current lsn.TimelineID, now time.Time) error {
	plan := s.core.plan
	if current != plan.Timeline {
		at, next, ok := s.o.Store.History().SwitchPoint(plan.Timeline)
		if !ok || plan.Historic && plan.Next.Start != at {
			return errTimeline(plan.Timeline)
		}
		if !plan.Historic {
			s.core.left(NextTimeline{next, at}, now)
			s.reopen = true
		}
	}
	s.current = current
	return nil
}

// open makes sure that there is a reader at the position to send, and that it knows the timeline for
// what it is.
func (s *Sender) open() error {
	s.mu.Lock()
	again, at := s.reopen, s.core.sent
	s.reopen = false
	s.mu.Unlock()
	if s.reader != nil && again {
		s.reader.Close()
		s.reader = nil
	}
	if s.reader != nil {
		return nil
	}
	r, err := s.o.Open(s.o.Plan.Timeline, at)
	if err == nil {
		s.reader = r
	}
	return err
}
