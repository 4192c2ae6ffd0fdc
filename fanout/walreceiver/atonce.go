package walreceiver

import (
	"fmt"
	"time"

	"github.com/replproxy/replproxy/internal/stamp"
)

// ReportNow reports newly reportable positions, on the caller's goroutine: whoever has heard the report of a standby
// needs nobody else to tell the primary. A report that would wait for the disk, for the socket or for the reporter is
// left to the reporter, which is woken. Any goroutine may call it. Without a stream it does nothing.
func (r *Receiver) ReportNow() {
	if rp := r.reporting.Load(); rp != nil && !rp.atOnce(time.Now()) {
		rp.live.wake()
	}
}

// atOnce reports newly reportable positions. false: run is to look, as this has reported nothing, or as run has to look
// again earlier than it would.
func (rp *reporter) atOnce(now time.Time) bool {
	if !rp.mu.TryLock() {
		return false
	}
	defer rp.mu.Unlock()
	if !rp.running {
		return true
	}
	if rp.failed != nil || rp.left || rp.core.ruleGated || !rp.core.recovery && !rp.mirrors.open {
		return false
	}
	v, _ := rp.view(now)
	covered := rp.core.covered(v)
	target, err := rp.core.target(v, covered)
	switch {
	case err != nil, rp.begunOtherwise(v.ruled) != nil, v.withholdsFromShutdown():
		return false
	case target == rp.core.last:
		return true
	}
	stamp.At(stamp.Reporting, target.Flush)
	if !rp.promise.raise(rp.core.promise(v, covered), now) {
		return false
	}
	a, err := rp.core.step(now, v)
	if err != nil || a.Expired {
		return false
	}
	if err := rp.offer(now, a); err != nil || rp.left {
		rp.failed = err
		return false
	}
	next := earliest(a.Wake, rp.promise.narrowAt(v.received))
	return next.IsZero() || !rp.wakes.IsZero() && !next.Before(rp.wakes)
}

// offer sends the report of an action, if there is one, as far as the socket takes it at once. The caller holds mu.
func (rp *reporter) offer(now time.Time, a action) error {
	if !a.Send {
		return nil
	}
	if err := rp.encode(now, a); err != nil {
		return err
	}
	all, err := rp.conn.Offer(rp.buf, rp.writeFor)
	if err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	if rp.left, rp.leaves = !all, a.Report; all {
		rp.told(a.Report)
	}
	return nil
}

// finish sends the rest of a report that offer could not write, if there is one. The caller holds mu.
func (rp *reporter) finish() error {
	if !rp.left {
		return nil
	}
	if err := rp.conn.Finish(rp.writeFor); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	rp.left = false
	rp.told(rp.leaves)
	return nil
}
