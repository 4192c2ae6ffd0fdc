package walreceiver

import (
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// feedbackCore decides when to send hot standby feedback. It is pure, like core.
type feedbackCore struct {
	interval time.Duration // at least this between two messages, unless protection would be lost
	slotless bool          // without a slot the upstream holds one horizon only
	// borne is the feedback that the stream's slot bore when the connection began. Until the feedback is settled
	// nothing is said that would raise it.
	borne copyboth.HotStandbyFeedback
	begun bool
	last  copyboth.HotStandbyFeedback
	sent  time.Time
}

// step looks at the merged feedback of all standbys. settled is false while the upstream may hold more than that for
// standbys that have not come back. catalog is what our own slot bears of catalog_xmin beside a stream without a slot;
// 0 is none. send means that out goes now; wake is when to look again (zero: no need to). Values that are older than
// the last sent go at once, since the primary may remove rows at any moment; newer ones, and the withdrawal by zeros,
// at the interval.
func (c *feedbackCore) step(now time.Time, merged copyboth.HotStandbyFeedback, settled bool, catalog copyboth.FullXID,
) (out copyboth.HotStandbyFeedback, send bool, wake time.Time) {
	merged.SentAt = 0
	if !settled {
		merged.Xmin = oldest(merged.Xmin, c.borne.Xmin)
		merged.CatalogXmin = oldest(merged.CatalogXmin, c.borne.CatalogXmin)
	}
	if c.slotless {
		if catalog == 0 || olderThan(merged.CatalogXmin, catalog) {
			merged.Xmin = oldest(merged.Xmin, merged.CatalogXmin)
		} else {
			merged.CatalogXmin = 0
		}
	}
	none := merged.Xmin == 0 && merged.CatalogXmin == 0
	if none && !settled {
		return merged, false, time.Time{} // it may only not be known yet
	}
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

// oldest returns the smaller of two, where 0 is none.
func oldest(a, b copyboth.FullXID) copyboth.FullXID {
	if olderThan(b, a) {
		return b
	}
	return a
}
