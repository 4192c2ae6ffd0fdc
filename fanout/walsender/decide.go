package walsender

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// next returns the action to be done now. The shell does it, and says so by the next call.
func (c *core) next(now time.Time) action {
	c.forgiveStall(now)
	a := c.decide(now)
	if c.due = now.Add(writeTick); a.kind == doWait {
		c.due = a.until
	}
	return a
}

func (c *core) decide(now time.Time) action {
	switch {
	case c.farAhead(): // before anything that the standby may have sent already
		return action{kind: doFinish, err: errAhead(c.sent, c.end)}
	case c.doneReceived && !c.doneSent:
		c.doneSent = true
		return action{kind: doCopyDone}
	case c.doneReceived:
		return action{kind: doFinish}
	case c.silent(now):
		return action{kind: doFinish, err: ErrTimeout}
	case c.doneSent:
		if c.draining {
			return action{kind: doFinish, drained: true}
		}
		return c.wait(now)
	case c.doubt.ask:
		c.doubt.ask, c.pinged = false, true
		return action{kind: doKeepalive, ping: true}
	case c.owed:
		c.owed = false
		return action{kind: doKeepalive}
	case c.unjudged && !c.asked:
		c.asked = true
		return action{kind: doKeepalive, ping: true}
	case c.timeout > 0 && !c.pinged && now.Sub(c.lastReply) >= c.timeout/2:
		c.pinged = true
		return action{kind: doKeepalive, ping: true}
	}
	return c.stream(now)
}

// stream decides for a stream in which nothing but WAL is due.
func (c *core) stream(now time.Time) action {
	switch {
	case !c.unjudged:
	case c.draining:
		return action{kind: doFinish, drained: true}
	case !c.ahead() || now.Sub(c.begun) < aheadMax:
		return c.idle(now)
	}
	limit := c.horizon
	if c.draining {
		limit = min(limit, c.drainTo)
	}
	if c.sent < limit {
		return action{kind: doSend, limit: limit}
	}
	if c.draining {
		return c.drained(now)
	}
	if c.plan.Historic && c.sent >= c.plan.Next.Start {
		c.doneSent = true
		return action{kind: doCopyDone}
	}
	if c.sent > c.horizon && !c.ahead() {
		return c.idle(now)
	}
	if c.sent > c.horizon { // only before the first message
		if now.Sub(c.begun) >= aheadMax {
			return action{kind: doFinish, err: errAhead(c.sent, c.end)}
		}
	} else if c.state == Catchup {
		c.state = Streaming
	}
	return c.idle(now)
}

// ahead reports whether the stream began beyond the end of WAL. The wait for such WAL is bounded. A standby that only
// has to wait until WAL which is here may be sent is not ahead: it is waited for without a bound.
func (c *core) ahead() bool { return c.sent > c.end && !c.held }

// idle decides for a stream that has nothing to send.
func (c *core) idle(now time.Time) action {
	if now.Sub(c.lastSent) >= idleKeepalive {
		return action{kind: doKeepalive}
	}
	return c.wait(now)
}

// farAhead reports whether the standby starts more than a segment beyond the WAL that is here, which is not waited for.
// It is asked before anything was sent: a fork also puts the end below what was sent.
func (c *core) farAhead() bool {
	return c.ahead() && c.sent == c.plan.Start && !c.plan.Historic &&
		c.sent-c.end > lsn.LSN(c.segSize) && c.sent > c.plan.Known
}

// drained ends a drain when the standby confirmed the last byte, as a PostgreSQL server that shuts
// down waits for it (facts E7), within a bound.
func (c *core) drained(now time.Time) action {
	ack := c.report.Flush
	if ack == lsn.Invalid {
		ack = c.report.Write
	}
	if ack >= min(c.sent, c.drainTo) || !now.Before(c.drainBy) {
		return action{kind: doFinish, drained: true}
	}
	if !c.pinged {
		c.pinged = true
		return action{kind: doKeepalive, ping: true}
	}
	return c.wait(now)
}

// wait returns a wait until the earliest moment at which next would answer something else by itself.
func (c *core) wait(now time.Time) action {
	until := now.Add(idleKeepalive)
	sooner := func(t time.Time) {
		if t.Before(until) {
			until = t
		}
	}
	if !c.doneSent {
		sooner(c.lastSent.Add(idleKeepalive))
	}
	if c.timeout > 0 {
		sooner(c.lastReply.Add(c.timeout))
		if !c.pinged && !c.doneSent {
			sooner(c.lastReply.Add(c.timeout / 2))
		}
	}
	if c.draining {
		sooner(c.drainBy)
	}
	if c.ahead() && !c.doneSent {
		sooner(c.begun.Add(aheadMax))
	}
	return action{kind: doWait, until: until}
}
