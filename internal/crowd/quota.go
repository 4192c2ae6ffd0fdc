package crowd

import "time"

const (
	// quotaLines bounds the lines that pass per quotaWindow: enough to see who it is, and no disk fills by them.
	quotaLines  = 20
	quotaWindow = 10 * time.Second
)

// Quota bounds lines that strangers can cause. The zero value is ready.
type Quota struct {
	began   time.Time // of the window
	said    int       // in it
	dropped int
}

// Admit reports whether one more line passes at a time, and how many did not since the last one that did.
func (q *Quota) Admit(now time.Time) (dropped int, ok bool) {
	if passed := now.Sub(q.began); passed >= quotaWindow || passed < 0 {
		q.began, q.said = now, 0
	}
	if q.said >= quotaLines {
		q.dropped++
		return 0, false
	}
	q.said++
	dropped, q.dropped = q.dropped, 0
	return dropped, true
}
