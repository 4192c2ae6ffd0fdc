package walreceiver

import (
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// feedbackCore decides when to send hot standby feedback. It is pure, like core.
type feedbackCore struct {
	interval time.Duration // at least this between two messages, unless protection would be lost
	slotless bool          // without a slot the upstream holds one horizon only
	begun    bool
	last     copyboth.HotStandbyFeedback
	sent     time.Time
}

// step looks at what all standbys need together. send means that out goes now; wake is when to look
// again (zero: no need to). Values that are older than the last sent go at once, since the primary
// may remove rows at any moment; newer ones, and the withdrawal by zeros, at the interval.
func (c *feedbackCore) step(now time.Time, merged copyboth.HotStandbyFeedback,
) (out copyboth.HotStandbyFeedback, send bool, wake time.Time) {
	merged.SentAt = 0
	if c.slotless {
		merged.Xmin = oldest(merged.Xmin, merged.CatalogXmin)
	}
	none := merged.Xmin == 0 && merged.CatalogXmin == 0
	due := c.sent.Add(c.interval)
	switch {
	case !c.begun, olderThan(merged.Xmin, c.last.Xmin), olderThan(merged.CatalogXmin, c.last.CatalogXmin):
		send = true
	case none && c.last == merged:
		return merged, false, time.Time{} // withdrawn already
	case c.interval > 0:
		send = !now.Before(due)
	default:
		send = merged != c.last
	}
	if !send {
		return merged, false, due
	}
	c.begun, c.last, c.sent = true, merged, now
	if none || c.interval <= 0 {
		return merged, true, time.Time{}
	}
	return merged, true, now.Add(c.interval)
}

// olderThan reports whether a asks for more protection than b; 0 asks for none.
func olderThan(a, b copyboth.FullXID) bool { return a != 0 && (b == 0 || a < b) }

// oldest is the smaller of two, where 0 is none.
func oldest(a, b copyboth.FullXID) copyboth.FullXID {
	if olderThan(b, a) {
		return b
	}
	return a
}
