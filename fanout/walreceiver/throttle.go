package walreceiver

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// unchangedGap is the least time between two answers that say the same. A primary that shuts down pings without pause
// (facts E7), and five answers a second keep its walsender alive.
const unchangedGap = 200 * time.Millisecond

// due returns the time at which the unchanged report is repeated; zero: never.
func (c *core) due(target lsn.Progress, v view) time.Time {
	patience := c.senderTimeout / 4 // a ping may lie unread behind WAL (ruling R19)
	var due time.Time
	switch {
	case c.interval > 0 && patience > 0:
		due = c.sent.Add(min(c.interval, patience))
	case c.interval > 0:
		due = c.sent.Add(c.interval)
	case patience > 0 && v.paused:
		due = c.sent.Add(patience)
	}
	if v.pings == c.answered {
		return due
	}
	// A shutting-down walsender leaves when flush (or write, without a flush) equals what it sent:
	// that answer must not wait. Any other unchanged one may.
	if end := target.Flush; end == v.pingEnd || end == 0 && target.Write == v.pingEnd {
		return c.sent
	}
	gap := unchangedGap
	if patience > 0 {
		gap = min(gap, patience)
	}
	return earliest(due, c.sent.Add(gap))
}
