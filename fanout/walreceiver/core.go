package walreceiver

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// ErrInvariant reports that a report was about to say more than may be said. It was not sent.
var ErrInvariant = errors.New("report invariant violated")

// view is the input of a step of the core.
type view struct {
	received         lsn.LSN      // end of the WAL that arrived on this connection
	written, flushed lsn.LSN      // of the store
	reportable       lsn.LSN      // of the store: from flushed to written
	limits           lsn.Progress // what may be reported, see [Quorum]
	ruled            bool         // a rule is in use
	paused           bool         // the store makes the reader wait for its disk
	heard            time.Time    // when the upstream's last byte arrived
	pings            uint64       // how many replies the upstream has requested
	pingEnd          lsn.LSN      // WAL end of the last such ping
	checkpoint       lsn.LSN      // end of the shutdown checkpoint with which the received WAL ends; 0: it does not
	messages         bool         // WAL or a keepalive has come on this connection
	held             bool         // nothing may be reported to a primary yet, see mirrorGate
	final            bool         // we are about to leave: say what there is to say
}

// action is the output of a step: send Report if Send, end the connection if Expired, step again at Wake at the
// latest (zero: no need to).
type action struct {
	Send    bool
	Report  lsn.Progress
	Promise lsn.LSN // the highest position that the rule covers now: to be durable before Report is sent
	Release bool    // Report goes beyond the rule for the first time (ruling R11)
	Ends    bool    // the upstream would be released, but for the rule gate
	Ask     bool    // request a reply
	Expired bool
	Wake    time.Time
}

// core decides when to report what. It is pure: no I/O, no clock, no goroutine.
type core struct {
	interval      time.Duration // of the status, ≤ 0 for none
	senderTimeout time.Duration // the upstream's wal_sender_timeout, 0 for none
	timeout       time.Duration // wal_receiver_timeout, ≤ 0 for none
	uneasy        time.Duration // silence after which a reply is requested, 0: half of timeout

	recovery  bool // the upstream is in recovery: no commit waits there, nothing is withheld
	written   bool // reports are bounded by reportable, and not by flushed (ruling R42)
	ruleGated bool // the stream uses a rule gate, which nothing passes that is not covered (ruling R45)

	floor    lsn.LSN // no flush is reported below it (ruling R12); 0 once passed
	last     lsn.Progress
	sent     time.Time // when something was said last; initially when the stream began
	heard    time.Time
	asked    bool
	answered uint64 // pings answered

	greet time.Time // when to request the first message if none has come; zero: not, or no more
}

// carry prepares for the next timeline on the same connection: what was reported holds for it up to
// the fork and not beyond.
func (c *core) carry(fork lsn.LSN) {
	c.last.Write = min(c.last.Write, fork)
	c.last.Flush = min(c.last.Flush, fork)
	c.last.Apply = min(c.last.Apply, fork)
	c.floor = min(c.floor, fork)
}

// said returns the highest position that was reported.
func (c *core) said() lsn.LSN { return max(c.last.Write, c.last.Flush, c.last.Apply) }

// step decides by v at now. After an action with Send the report counts as sent. An error is of an invariant that does
// not hold: end the stream.
func (c *core) step(now time.Time, v view) (action, error) {
	covered := c.covered(v)
	target, err := c.target(v, covered)
	if err != nil {
		return action{}, err
	}
	silence := c.silence(now, v)
	if c.timeout > 0 && silence >= c.timeout {
		return action{Expired: true}, nil
	}
	a := action{Report: target, Release: target.Write > max(covered.Write, c.last.Write) ||
		target.Flush > max(covered.Flush, c.last.Flush)}
	if ask := c.asksAfter(); ask > 0 && silence >= ask && !c.asked {
		a.Send, a.Ask = true, true
	}
	a.Ends = c.ruleGated && v.shutdownRelease() && covered.Flush < v.received
	if c.greets(now, v) {
		a.Send, a.Ask = true, true
	}
	due := c.due(target, v)
	if v.final || target != c.last || !due.IsZero() && !now.Before(due) {
		a.Send = true
	}
	if a.Send {
		a.Promise = c.promise(v, covered)
		c.last, c.sent, c.answered = target, now, v.pings
		c.asked = c.asked || a.Ask
		if target.Flush > 0 {
			c.floor = 0
		}
		due = c.due(target, v)
	}
	a.Wake = earliest(earliest(due, c.patience(now, v)), c.greet)
	return a, nil
}

// greets reports whether the stream's first message must be asked for now, which it is once at most.
// While the store makes the reader wait, a message may lie unread.
func (c *core) greets(now time.Time, v view) bool {
	if c.greet.IsZero() || !v.messages && !v.paused && now.Before(c.greet) {
		return false
	}
	c.greet = time.Time{}
	return !v.messages && !v.paused
}

// target returns the positions to report: those that the rule covers, or all of a shutting-down upstream's WAL, and
// never less than was.
func (c *core) target(v view, covered lsn.Progress) (lsn.Progress, error) {
	t := covered
	if v.shutdownRelease() && !c.ruleGated {
		t.Write, t.Flush = v.received, v.received
	}
	if t.Flush < c.floor {
		t.Flush = 0
	}
	t.Write = max(t.Write, c.last.Write)
	t.Flush = max(t.Flush, c.last.Flush)
	t.Apply = max(t.Apply, c.last.Apply)
	switch safe := c.safe(v); {
	case t.Write > v.written, max(t.Flush, t.Apply) > safe:
		return t, fmt.Errorf("%w: write %s, flush %s and apply %s, but the store has written %s, and %s is safe",
			ErrInvariant, t.Write, t.Flush, t.Apply, v.written, safe)
	case max(t.Write, t.Flush, t.Apply) > v.received:
		return t, fmt.Errorf("%w: write %s, flush %s and apply %s, but only %s was received",
			ErrInvariant, t.Write, t.Flush, t.Apply, v.received)
	}
	return t, nil
}

// silence returns the time in which nothing came although the reader listened. While the store
// makes the reader wait nobody listens, and nothing can be said about the upstream.
func (c *core) silence(now time.Time, v view) time.Duration {
	if v.paused {
		c.heard = now
	}
	if v.heard.After(c.heard) {
		c.heard, c.asked = v.heard, false // whoever has answered is asked anew, however late that is noticed
	}
	d := now.Sub(c.heard)
	if d < c.asksAfter() {
		c.asked = false
	}
	return d
}

// asksAfter returns the silence after which a reply is requested; ≤ 0: never.
func (c *core) asksAfter() time.Duration {
	if c.uneasy > 0 && (c.timeout <= 0 || c.uneasy < c.timeout/2) {
		return c.uneasy
	}
	return c.timeout / 2
}

// patience returns the time at which silence matters next.
func (c *core) patience(now time.Time, v view) time.Time {
	ask := c.asksAfter()
	switch {
	case ask <= 0:
		return time.Time{}
	case v.paused: // look often enough to notice the end of the pause before it looks like silence
		return now.Add(ask / 2)
	case !c.asked:
		return c.heard.Add(ask)
	case c.timeout <= 0:
		return time.Time{}
	case ask < c.timeout/2: // the upstream may have answered by then
		return earliest(c.heard.Add(c.timeout), now.Add(ask))
	default:
		return c.heard.Add(c.timeout)
	}
}

// earliest returns the earlier of the two; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
