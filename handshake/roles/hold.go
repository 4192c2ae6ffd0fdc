package roles

import "time"

const (
	// minHold is the least time for which answers are held back: far above what a look into the cache takes.
	minHold = 2 * time.Millisecond
	// maxHold bounds it: a primary that is far away shall not make every log-in slow.
	maxHold = 100 * time.Millisecond
	// holdPart is the part by which the hold shrinks at each question that took less, holdStep the factor by which it
	// grows at one that took more. A single slow answer so does not make log-ins slow.
	holdPart = 64
	holdStep = 4
	// holdMargin is the part of a question's time that is added, so that few of the next ones come later.
	holdMargin = 4
	// holdRung is the part by which a rung is above the one below it, see [rung].
	holdRung = 4
)

// holdFor returns the time for which answers are held back, after a question that took so long. It is about the
// slowest of the last ones, so that few come later. At any moment it is the same for all names, and so tells nothing
// of one.
func holdFor(now, took time.Duration) time.Duration {
	want := min(max(took+took/holdMargin, minHold), maxHold, holdStep*now)
	if want >= now {
		return want
	}
	return now - (now-want)/holdPart
}

// rung rounds a time up to one of a few. The time that answers are held back for changes with each question, whatever
// the name. Somebody who asks names in turns would see in the medians whose questions change it.
func rung(hold time.Duration) time.Duration {
	for d := minHold; ; d += d / holdRung {
		if d >= min(hold, maxHold) {
			return min(d, maxHold)
		}
	}
}
