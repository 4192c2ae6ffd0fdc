package walsender

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Waits of a walsender that no setting rules.
const (
	// idleKeepalive is the longest silence toward a standby, whatever wal_sender_timeout says: a
	// walreceiver asks after 30 s and gives up after 60 (facts E5, K31).
	idleKeepalive = 15 * time.Second
	// aheadMax bounds the wait for a start position that is up to one segment above the horizon (R28), or that the
	// primary surely has. It is half of the default wal_receiver_timeout; keepalives flow meanwhile.
	aheadMax = 30 * time.Second
	// stallSlack is the delay from which the core takes a shell that comes back late for a stall of this process. The
	// time of a stall is not held against the standby (K29).
	stallSlack = time.Second
	// writeTick bounds how long a write to the standby may block before the core is asked again.
	writeTick = 5 * time.Second
	// silentMax ends a standby that takes no byte and says nothing although wal_sender_timeout is
	// disabled: a peer that died without a trace must not hold a goroutine and WAL forever.
	silentMax = 15 * time.Minute
)

// ErrTimeout is the end of a standby that did not reply within wal_sender_timeout. The connection is
// closed without a message, as PostgreSQL does (facts E5).
var ErrTimeout = errors.New("terminating walsender process due to replication timeout")

// ErrInvariant reports a broken inequality between positions: a bug, which ends this sender only.
var ErrInvariant = errors.New("walsender invariant broken")

// kind names the shell's next action.
type kind uint8

const (
	doWait      kind = iota // until an event, at most until action.until
	doSend                  // the next message, up to action.limit
	doKeepalive             // 'k', with action.ping as replyRequested
	doCopyDone              // 'c'
	doFinish                // the stream is over: action.err, or action.drained, or cleanly
)

type action struct {
	kind    kind
	limit   lsn.LSN
	ping    bool
	drained bool
	until   time.Time
	err     error
}

// core decides what one walsender does. Events come as method calls with the time, next answers with
// one action at a time; it does no I/O and is not safe for concurrent use.
type core struct {
	plan    Plan
	timeout time.Duration // wal_sender_timeout; 0: disabled
	segSize lsn.SegSize
	drainIn time.Duration // bound of the wait for a confirmation while draining

	state  State
	sent   lsn.LSN // next byte to send
	handed lsn.LSN // end of the newest message that was begun; sent, or the end of the one in progress
	top    lsn.LSN // the most that the standby was sent from here or said that it has

	end     lsn.LSN // of the WAL that the store gives: received, or the switch point
	horizon lsn.LSN // end of what may be sent: end, or what is covered where the standby gets no more
	held    bool    // the end is a fork that is known, and may be below what was sent

	unjudged bool // nothing is sent before the standby has said what it has
	asked    bool // for that

	report   copyboth.StatusUpdate // newest, as the standby said it
	reported bool
	applied  bool          // the newest report was that all that was sent is applied
	lags     [3]lagTracker // write, flush, apply
	flushed  bool          // the newest report has confirmed a flush of WAL whose time is known
	above    counters

	begun     time.Time
	lastReply time.Time // newest message of the standby
	lastSent  time.Time // newest message to it
	due       time.Time // when the shell promised to call again; zero: no promise
	pinged    bool      // a ping is unanswered
	owed      bool      // the standby asked for a keepalive
	doubt     doubt     // whether the standby is still there

	doneSent, doneReceived bool // CopyDone of either side
	draining               bool
	drainTo                lsn.LSN
	drainBy                time.Time
}

// counters count positions that a standby claimed beyond those that it can have from here (R6, R28).
type counters struct{ received, sent uint64 }

func newCore(p Plan, timeout time.Duration, seg lsn.SegSize, drain time.Duration, now time.Time) *core {
	return &core{
		plan: p, timeout: timeout, segSize: seg, drainIn: drain,
		state: Catchup, sent: p.Start, handed: p.Start, begun: now, lastReply: now, lastSent: now,
	}
}

// available moves the end to received, or to the switch point when that is lower. It never goes
// back: WAL of one timeline is only ever appended (invariant 2). Only when WAL beyond a fork is held back it does: then
// a stream that is beyond it waits for what becomes of the timeline. bound is what else bounds the horizon, [NoBound]:
// nothing. It may go back. A timeline that was left has its end whatever is bound: a standby must come to it.
func (c *core) available(received, bound lsn.LSN, held bool, now time.Time) error {
	if c.plan.Historic {
		received, bound, held = min(received, c.plan.Next.Start), NoBound, false
	}
	c.held = held
	if received < c.end && !held {
		return fmt.Errorf("%w: received went back from %s to %s on timeline %s",
			ErrInvariant, c.end, received, c.plan.Timeline)
	}
	c.horizon = min(received, bound)
	if received != c.end {
		c.moveEnd(received, now)
	}
	return nil
}

// left tells that the timeline has been left at n.Start for n.Timeline. More may have been sent
// already (facts E6); what lies above is not sent any more. Of what lies below, some may come only
// with the stream of the next timeline.
func (c *core) left(n NextTimeline, now time.Time) {
	c.plan.Historic, c.plan.Next = true, n
	c.horizon = min(c.horizon, n.Start)
	if c.end > n.Start {
		c.moveEnd(n.Start, now)
	}
}

func (c *core) moveEnd(to lsn.LSN, now time.Time) {
	c.end = to
	for i := range c.lags {
		c.lags[i].available(to, now)
	}
}

// drain ends the stream after everything that is received now.
func (c *core) drain(now time.Time) {
	if !c.draining {
		c.draining, c.state = true, Stopping
		c.drainTo, c.drainBy = c.horizon, now.Add(c.drainIn)
	}
}

// clientDone takes the standby's CopyDone.
func (c *core) clientDone(now time.Time) {
	c.heard(now)
	c.doneReceived = true
}

// heard takes note of any message of the standby.
func (c *core) heard(now time.Time) { c.lastReply, c.pinged, c.doubt = now, false, doubt{} }

// reply takes a status update. flush is what the standby flushed, as far as this proxy has the WAL (R28). wake: the
// send side has something to do about it.
func (c *core) reply(r copyboth.StatusUpdate, now time.Time) (flush lsn.LSN, wake bool) {
	c.heard(now)
	c.report, c.reported = r, true
	// Only the second report in a row that all is applied was sent because the standby's clock said so. A busy standby
	// says the same write position again as flush and apply follow.
	all := r.Apply == c.sent
	for i, pos := range [3]lsn.LSN{r.Write, r.Flush, r.Apply} {
		if news := c.lags[i].confirmed(pos, all && c.applied, now); i == 1 {
			c.flushed = news && c.state == Streaming
		}
	}
	c.applied = all
	if c.state == Catchup && !c.plan.Historic && c.handed == c.horizon {
		// The send loop is about to find out. This report may be the last one for long.
		c.state = Streaming
	}
	top := max(r.Write, r.Flush, r.Apply)
	c.top = max(c.top, top)
	if top > c.end {
		c.above.received++
	}
	if top > c.handed {
		c.above.sent++
	}
	if r.ReplyRequested {
		c.owed = true
	}
	return min(r.Flush, c.end), c.owed || c.draining
}

// had returns the highest position that a report of the standby may speak of. That is WAL of this proxy that it was
// sent or said that it has. A start ahead of the end is not counted, nor is WAL beyond a fork that has come meanwhile.
func (c *core) had() lsn.LSN { return min(c.handed, c.end) }

// sends notes that a message up to end is about to be written.
func (c *core) sends(end lsn.LSN) { c.handed = max(c.handed, end) }

// sentWAL notes a message [start, end) that was written entirely.
func (c *core) sentWAL(start, end, limit lsn.LSN, now time.Time) error {
	if start != c.sent || end <= start || end > limit {
		return fmt.Errorf("%w: message %s to %s after %s with limit %s", ErrInvariant, start, end, c.sent, limit)
	}
	c.sent, c.lastSent, c.due = end, now, time.Time{}
	c.sends(end)
	return nil
}

// wrote notes any other message.
func (c *core) wrote(now time.Time) { c.lastSent, c.due = now, time.Time{} }

// blocked judges a write that does not get on; it is called at least every writeTick. It returns the error that ends
// the stream, or nil to go on trying.
func (c *core) blocked(now time.Time) error {
	c.forgiveStall(now)
	c.due = now.Add(writeTick)
	if c.silent(now) {
		return ErrTimeout
	}
	if c.draining && !now.Before(c.drainBy) {
		return fmt.Errorf("%w while draining", ErrTimeout)
	}
	return nil
}

// silent reports whether the standby has said nothing for too long. Without a wal_sender_timeout a
// standby that takes what is written counts as alive.
func (c *core) silent(now time.Time) bool {
	if c.timeout > 0 {
		return now.Sub(c.lastReply) >= c.timeout
	}
	return now.Sub(c.lastReply) >= silentMax && now.Sub(c.lastSent) >= silentMax
}

// forgiveStall moves the clocks that run against the standby by the time that this process lost.
func (c *core) forgiveStall(now time.Time) {
	if late := now.Sub(c.due); !c.due.IsZero() && late > stallSlack {
		c.lastReply = c.lastReply.Add(late)
		c.begun = c.begun.Add(late)
	}
}
