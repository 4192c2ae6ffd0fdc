package walsender

import (
	"errors"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
)

// A blocked write must notice that time passes, that the proxy drains and that the standby is gone. All
// three come to it as a write deadline: the send loop sets one that is never far away, and whoever has
// news sets one in the past.
//
// A write within TLS cannot be interrupted and continued: the connection is lost. So there each write gets
// the whole of wal_sender_timeout, anew with each reply, news that leave the session alive wait until it is
// over, and others leave it lastWrite.

// SetTimeout changes wal_sender_timeout for a session that goes on, as a reload of the primary does (0: disabled).
// Any goroutine may call it.
func (s *Sender) SetTimeout(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core.timeout == d {
		return
	}
	s.core.timeout, s.o.Session.WalSenderTimeout = d, d
	s.armed = time.Time{} // the next write arms anew
	s.poke()
}

// lastWrite bounds how long a message that is under way may take once the session has to end. A standby that reads
// takes it in a moment, and can then be told why.
const lastWrite = 2 * time.Second

// arm prepares for a write. It refuses when the standby is gone. It renews the deadline when less than half of it is
// left, so that most messages cost no timer.
func (s *Sender) arm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.end != nil && !s.finishing(now) {
		return s.end
	}
	if s.end == nil && s.out.resumable && !s.poked && s.armed.Sub(now) > writeTick/2 {
		return nil
	}
	s.poked = false
	s.armed = s.out.deadline(now, s.o.Session.WalSenderTimeout)
	if s.end != nil {
		s.armed = s.endBy
	}
	if err := s.o.Conn.Net.SetWriteDeadline(s.armed); err != nil {
		return over("write to standby: %w", err)
	}
	return nil
}

// finishing reports whether the rest of a message may still go out although the stream ends. The caller is the
// send loop and holds mu.
func (s *Sender) finishing(now time.Time) bool {
	return s.out.partial && now.Before(s.endBy) && !errors.Is(s.end, ErrSessionOver)
}

// blocked judges a write that hit its deadline: nil to go on with the rest.
func (s *Sender) blocked() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.end != nil {
		if s.finishing(now) {
			return nil
		}
		return s.end
	}
	s.armed = time.Time{}
	return s.core.blocked(time.Now())
}

// poke wakes a blocked write and the send loop. The caller holds mu.
func (s *Sender) poke() {
	if s.finished {
		return
	}
	s.poked = true
	if s.out.resumable {
		_ = s.o.Conn.Net.SetWriteDeadline(deadline.Past())
	}
	s.wake()
}

// heard renews the deadline of a write within TLS that is under way: a standby that replies is slow, not gone. A
// session that has to end is bounded by hurry. The caller holds mu.
func (s *Sender) heard(now time.Time) {
	if s.out.resumable || s.finished || s.end != nil || s.core.draining {
		return
	}
	until := s.out.deadline(now, s.o.Session.WalSenderTimeout)
	if left := s.armed.Sub(now); left > until.Sub(now)/2 {
		return // most replies cost no timer
	}
	s.armed = until
	_ = s.o.Conn.Net.SetWriteDeadline(until)
}

// hurry gives a write within TLS that is under way so long. The caller holds mu.
func (s *Sender) hurry(left time.Duration) {
	if !s.finished && !s.out.resumable {
		_ = s.o.Conn.Net.SetWriteDeadline(time.Now().Add(left))
	}
}

// wake makes the send loop look around when it waits.
func (s *Sender) wake() { s.nudge.Wake() }
