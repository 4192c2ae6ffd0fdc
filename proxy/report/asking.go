package report

import (
	"slices"
	"time"
)

// AskInterval bounds the age of the primary's settings that advice rests on. An operator who changes
// synchronous_standby_names sees the warning while still at it.
const AskInterval = 30 * time.Second

// Around holds the facts on which the advice about a primary depends, beside the primary itself.
type Around struct {
	Streaming  bool      // WAL comes in
	Since      time.Time // since when
	Generation int       // of the configuration
	Standbys   []string  // that are attached here, sorted
	Slots      []string  // that are here
}

// Asking decides when the primary is asked for its settings. The zero value has not asked. It is pure.
type Asking struct {
	was Around
	at  time.Time
}

// Due reports whether the primary is to be asked now: when WAL comes anew, and when other standbys or slots are here.
// So it is when the configuration has changed, and once in a while. A primary that is not streamed from is not asked:
// /readyz tells of that, and what was true stays.
func (a *Asking) Due(now time.Time, x Around) bool {
	if !x.Streaming {
		return false
	}
	same := x.Since.Equal(a.was.Since) && x.Generation == a.was.Generation &&
		slices.Equal(x.Standbys, a.was.Standbys) && slices.Equal(x.Slots, a.was.Slots)
	return !same || now.Sub(a.at) >= AskInterval
}

// Answered notes that the primary has answered what was asked at now.
func (a *Asking) Answered(now time.Time, x Around) { a.was, a.at = x, now }
