package walreceiver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// reporter tells the upstream what may be told. Whoever holds mu is the only writer of a connection in COPY mode: run,
// or a goroutine that calls [Receiver.ReportNow].
type reporter struct {
	mu      sync.Mutex
	running bool      // run does, so that others may write
	failed  error     // of a write by another goroutine than run's
	wakes   time.Time // when run looks again if nothing happens; zero: never
	left    bool      // the socket did not take all of a report by another goroutine, which leaves was to tell
	leaves  lsn.Progress

	conn     Conn
	store    Store
	quorum   Quorum
	feedback Feedback // nil without
	live     *live
	core     core
	hs       feedbackCore
	catalog  func() copyboth.FullXID // what this proxy's slot bears of catalog_xmin beside the stream
	promise  *promise
	written  writtenReports
	mirrors  *mirrorGate
	ruled    bool    // there was a rule when the connection began
	choice   bool    // with a rule the slot is held differently than without
	checked  lsn.LSN // where a shutdown checkpoint was looked for last
	found    bool
	log      *slog.Logger
	writeFor time.Duration // bounds one write
	buf      []byte
}

// run reports until ctx ends (nil) or the connection is of no more use.
func (rp *reporter) run(ctx context.Context) error {
	var feedbackMoved, mirrored <-chan struct{}
	if rp.feedback != nil {
		feedbackMoved = rp.feedback.Changed()
	}
	if rp.mirrors.mirrors != nil {
		mirrored = rp.mirrors.mirrors.Changed()
	}
	rp.runs(true)
	defer rp.runs(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, err := rp.step(false)
		if err != nil {
			return err
		}
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(max(time.Until(wake), 0))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rp.live.kick:
		case <-rp.quorum.Changed():
		case <-feedbackMoved:
		case <-mirrored:
		case <-timer.C:
		}
	}
}

// runs notes whether the goroutine of run is there. Without it ReportNow does nothing.
func (rp *reporter) runs(yes bool) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.running = yes
}

// step sends a report or feedback that is due, and returns the time of the next look. final: the stream ends, and what
// may be reported is, due or not. It may block for the disk and the socket. After an error the stream is over.
func (rp *reporter) step(final bool) (wake time.Time, err error) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if rp.failed != nil {
		return wake, rp.failed
	}
	if err := rp.finish(); err != nil {
		return wake, err
	}
	now := time.Now()
	if !final {
		rp.reportWritten(now)
	}
	v, opens := rp.view(now)
	if v.withholdsFromShutdown() {
		v.checkpoint = rp.checkpointAt(v.received)
	}
	v.final = final
	if err := rp.begunOtherwise(v.ruled); err != nil && !final {
		return wake, err
	}
	if d := rp.live.patience.Load(); d > 0 {
		rp.core.senderTimeout = time.Duration(d - 1)
	}
	a, err := rp.core.step(now, v)
	switch {
	case err != nil:
		return wake, err
	case a.Expired:
		return wake, ErrTimeout
	}
	if rp.core.ruleGated {
		rp.live.end(a.Ends)
	}
	if a.Send {
		stamp.At(stamp.Reporting, a.Report.Flush)
	}
	if err := rp.promise.cover(a.Promise, now); err != nil {
		return wake, err
	}
	wake, err = rp.narrow(now, earliest(a.Wake, opens), v)
	if err != nil {
		return wake, err
	}
	if err := rp.report(now, a); err != nil {
		return wake, err
	}
	if rp.feedback != nil && !final {
		due, err := rp.sendFeedback(now)
		if err != nil {
			return wake, err
		}
		wake = earliest(wake, due)
	}
	if a.Release {
		rp.live.totals.shutdownReleases.Add(1)
		rp.log.Info("a shutdown checkpoint ends the upstream's WAL: it is confirmed beyond the rule, "+
			"as no commit can wait then", "lsn", a.Report.Flush, "covered_lsn", v.limits.Flush)
	}
	rp.wakes = wake
	return wake, nil
}

// report sends the report of an action, if there is one. The caller holds mu.
func (rp *reporter) report(now time.Time, a action) error {
	if !a.Send {
		return nil
	}
	if err := rp.encode(now, a); err != nil {
		return err
	}
	if err := rp.send(); err != nil {
		return err
	}
	rp.told(a.Report)
	return nil
}

// encode makes the report of an action in the buffer, and has the store note it. The caller holds mu.
func (rp *reporter) encode(now time.Time, a action) error {
	m := copyboth.StatusUpdate{Progress: a.Report, SentAt: copyboth.TimeOf(now), ReplyRequested: a.Ask}
	rp.buf = m.Append(rp.buf[:0])
	if !rp.core.written {
		return nil
	}
	return rp.store.Reporting(max(a.Report.Write, a.Report.Flush, a.Report.Apply))
}

// told notes that a report is out.
func (rp *reporter) told(p lsn.Progress) {
	stamp.Told(p.Flush)
	rp.live.tell(p)
}

// narrow narrows the promise when it is time for that, which blocks for the disk. It returns the time of the next look:
// wake, or earlier. While reports are ahead of the disk it waits until that has caught up. The disk may hang, and no
// commit is to wait for it (ruling R42).
func (rp *reporter) narrow(now, wake time.Time, v view) (time.Time, error) {
	at := rp.promise.narrowAt(v.received)
	switch {
	case at.IsZero() || now.Before(at):
		return earliest(wake, at), nil
	case rp.core.written && v.flushed < v.reportable:
		return wake, nil
	}
	return wake, rp.promise.rest(v.received)
}

// sendFeedback sends hot standby feedback if it is due, and returns when to look again.
func (rp *reporter) sendFeedback(now time.Time) (wake time.Time, err error) {
	merged, settled := rp.feedback.Merged()
	out, send, wake := rp.hs.step(now, merged, settled, rp.catalog())
	if !send {
		return wake, nil
	}
	out.SentAt = copyboth.TimeOf(now)
	rp.buf = out.Append(rp.buf[:0])
	if err := rp.send(); err != nil {
		return wake, err
	}
	rp.live.feedbackSent.Store(true)
	return wake, nil
}

// send sends the message in the buffer. It blocks for writeFor at most; after an error the stream is over.
func (rp *reporter) send() error {
	if err := rp.conn.Send(rp.buf, rp.writeFor); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	return nil
}

// view reads received before the store's positions: what the store has is then never less than what
// goes with it, and min in the core does the rest. At opens it is another one, if nothing else comes. The
// caller holds mu.
func (rp *reporter) view(now time.Time) (v view, opens time.Time) {
	v = view{received: rp.live.receivedEnd(), paused: rp.store.Paused(), heard: rp.live.heardAt()}
	v.pings, v.pingEnd = rp.live.lastPing()
	v.messages = !rp.live.lastMessage().IsZero()
	p := rp.store.Positions()
	v.written, v.reportable, v.flushed = p.Written, p.Reportable, p.Flushed
	v.limits, v.ruled = rp.quorum.Reportable()
	if !rp.core.recovery {
		v.held, opens = rp.mirrors.holds(now)
	}
	return v, opens
}

// checkpointAt returns end when a shutdown checkpoint ends there, 0 otherwise. It looks once at each end.
func (rp *reporter) checkpointAt(end lsn.LSN) lsn.LSN {
	if rp.checked != end {
		rp.checked, rp.found = end, rp.store.EndsWithShutdownCheckpoint(end)
	}
	if rp.found {
		return end
	}
	return lsn.Invalid
}

// carry prepares for the next timeline on the same connection, which begins at fork on the present one. What was
// reported and received is cut at fork, and at the end of what is flushed. run must not be running.
func (rp *reporter) carry(fork lsn.LSN) {
	p := rp.store.Positions()
	rp.core.carry(min(fork, p.Flushed))
	rp.live.received.Store(uint64(min(rp.live.receivedEnd(), fork, p.Flushed)))
}
