package roles

import "time"

const (
	// minHold is the least time for which answers are held back: far above what a look into the cache takes.
	minHold = 2 * time.Millisecond
	// maxHold bounds it: a primary that is far away shall not make every log-in slow.
	maxHold = 100 * time.Millisecond
	// holdPart is the part of the way that the time goes down at each question that took less.
	holdPart = 64
)

// holdFor is how long answers are held back after a question that took so long: about the slowest of the last ones, so
// that few come later. At any moment it is the same for all names, and so tells nothing of one.
func holdFor(now, took time.Duration) time.Duration {
	want := min(max(took, minHold), maxHold)
	if want >= now {
		return want
	}
	return now - (now-want)/holdPart
}
