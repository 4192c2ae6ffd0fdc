package crowd

import "time"

const (
	// repeatWindow lies between two lines that say the same: whoever looks once a minute misses nothing.
	repeatWindow = time.Minute
	// repeatsKept bounds the lines that are remembered: more than there are causes at a time. Beyond it a line that
	// repeats another one passes.
	repeatsKept = 256
)

// Repeats lets one of several lines that say the same pass per minute. The zero value is ready.
type Repeats struct {
	said map[string]*repeated
}

type repeated struct {
	at time.Time // when it passed
	n  int       // not passed since
}

// Admit reports whether a line passes at a time, and how many lines that said the same did not since it passed last.
func (r *Repeats) Admit(line string, now time.Time) (n int, ok bool) {
	last := r.said[line]
	switch {
	case last == nil:
		r.makeRoom(now)
		if len(r.said) < repeatsKept {
			r.said[line] = &repeated{at: now}
		}
		return 0, true
	case now.Sub(last.at) < repeatWindow && !now.Before(last.at):
		last.n++
		return 0, false
	}
	n, last.at, last.n = last.n, now, 0
	return n, true
}

// makeRoom forgets the lines that would pass, if there is no room for another one.
func (r *Repeats) makeRoom(now time.Time) {
	if r.said == nil {
		r.said = map[string]*repeated{}
	}
	if len(r.said) < repeatsKept {
		return
	}
	for line, last := range r.said {
		if now.Sub(last.at) >= repeatWindow || now.Before(last.at) {
			delete(r.said, line)
		}
	}
}
