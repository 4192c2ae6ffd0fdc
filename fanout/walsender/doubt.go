package walsender

import (
	"errors"
	"fmt"
	"time"
)

// A session is doubted when a younger one of its standby's name has begun, or waits for its slot. The standby may have
// left it behind a connection that is silently dead. Until it ends it holds the vote of its name (ruling R6) and its
// slot. It is asked, and ends when it says nothing and its socket does not move:
//
//	Doubt ──ping──► standby ──► a byte: spared
//	                   └──────► DoubtPatience of nothing: over, if may allows it

const (
	// DoubtPatience bounds the silence of a doubted session. A standby that stands still for a moment, or syncs to a
	// slow disk, answers within it. Commits that wait for its younger session go on within 5 s.
	DoubtPatience = 3 * time.Second
	// doubtTick spaces the looks at a doubted session. It adds as much to DoubtPatience.
	doubtTick = 250 * time.Millisecond
)

// ErrLeft is the end of a session that its standby has left, as far as can be known.
var ErrLeft = errors.New("a younger session of its standby has begun, and this one says nothing")

// doubt holds the state of asking a session whether it lives. The zero doubt: it is not asked.
type doubt struct {
	since time.Time
	moved time.Time // its silence counts from here
	due   time.Time // when the shell promised to look again
	ask   bool      // the ping is due
	last  look
}

// look counts the bytes that the socket of a session has passed; the zero look is nothing known.
type look struct {
	received, acked uint64 // bytes from and at the other end
	unsent          uint32 // bytes that wait here because the other end takes no more
}

// beyond reports whether the other end has said something since o, or has taken of what waited for it. Bytes that went
// out at once say nothing: a relay on the way takes them, whether the standby is there or not.
func (l look) beyond(o look) bool {
	return l.received > o.received || o.unsent > 0 && l.acked > o.acked
}

func (c *core) doubted() bool { return !c.doubt.since.IsZero() }

// suspect begins to doubt.
func (c *core) suspect(l look, now time.Time) {
	c.doubt = doubt{since: now, moved: now, due: now.Add(doubtTick), ask: true, last: l}
}

// lookedAt takes a look at a doubted session's socket, and reports whether it has been silent for too long.
func (c *core) lookedAt(l look, now time.Time) (left bool) {
	d := &c.doubt
	if late := now.Sub(d.due); late > stallSlack { // time that this process lost is not held against the standby (K29)
		d.moved = d.moved.Add(late)
	}
	if l.beyond(d.last) {
		d.moved = now
	}
	d.last, d.due = l, now.Add(doubtTick)
	return now.Sub(d.moved) >= DoubtPatience
}

// Doubt asks whether the standby is still there, because a younger session of its name has begun or waits. by is that
// session's backend pid. It ends the stream once DoubtPatience has passed without a byte or a move of its socket, and
// may allows that. may is called under a lock and must not block.
//
// since is the time of the doubt, silent that of the last message. False: the session has answered by, or is over. Any
// goroutine may call it; it does not block.
func (s *Sender) Doubt(by int32, may func() bool) (since, silent time.Time, doubted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.end != nil {
		return since, silent, false
	}
	if !s.core.doubted() {
		if by != 0 && by == s.doubtedBy {
			return since, silent, false
		}
		s.core.suspect(lookAt(s.o.Conn.Net), time.Now())
		s.doubtedBy, s.mayEnd = by, may
		s.watchDoubt()
		s.poke()
	}
	return s.core.doubt.since, s.core.lastReply, true
}

// watchDoubt looks at the session again in a moment, also while a write to it blocks. The caller holds mu.
func (s *Sender) watchDoubt() {
	if s.doubtTimer == nil {
		s.doubtTimer = time.AfterFunc(doubtTick, s.lookAgain)
		return
	}
	s.doubtTimer.Reset(doubtTick)
}

func (s *Sender) lookAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.end != nil || !s.core.doubted() {
		return
	}
	if now := time.Now(); !s.core.lookedAt(lookAt(s.o.Conn.Net), now) || !s.mayEnd() {
		s.watchDoubt()
		return
	}
	// Nobody reads: what is under way is not finished.
	s.end, s.endBy = fmt.Errorf("%w: %w", ErrSessionOver, ErrLeft), time.Now()
	s.poke()
	s.hurry(0)
}
