package walsender

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// lagSamples bounds the memory of one lag tracker. When it is full every other sample goes and new ones come half as
// often. A standby hours behind costs no more than one at rest; its lag is only coarser.
const lagSamples = 256

// LagUnknown is the lag of a standby that has nothing outstanding, or has not reported.
const LagUnknown time.Duration = -1

type lagSample struct {
	end lsn.LSN
	at  time.Time
}

// lagTracker turns positions into time: how long ago did the WAL that the standby now confirms
// become available here. One per column. The zero value is ready.
type lagTracker struct {
	pending []lagSample // ascending in end; not confirmed yet; the newest may still be replaced
	stride  int         // moves of the horizon per sample, grows while pending is full
	skipped int         // since the newest sample was appended
	last    lagSample   // newest confirmed one
	lag     time.Duration
	known   bool
}

// available notes that WAL up to end can be sent from now on.
func (t *lagTracker) available(end lsn.LSN, now time.Time) {
	if n := len(t.pending); n > 0 && end <= t.pending[n-1].end {
		return // a timeline was left below what it had reached
	}
	if n := len(t.pending); n > 0 && t.skipped+1 < t.stride {
		t.pending[n-1], t.skipped = lagSample{end, now}, t.skipped+1
		return
	}
	if len(t.pending) == lagSamples {
		for i := range lagSamples / 2 {
			t.pending[i] = t.pending[2*i+1]
		}
		t.pending, t.stride = t.pending[:lagSamples/2], 2*max(1, t.stride)
	}
	t.pending, t.skipped = append(t.pending, lagSample{end, now}), 0
}

// confirmed notes that the standby reported pos, and returns whether that confirms WAL whose time was noted. What was
// known of the lag stays when the report says nothing new of it, unless forget: then an idle standby does not show its
// last busy moment for ever.
func (t *lagTracker) confirmed(pos lsn.LSN, forget bool, now time.Time) (news bool) {
	n := 0
	for n < len(t.pending) && t.pending[n].end <= pos {
		n++
	}
	if n > 0 {
		t.last = t.pending[n-1]
		t.pending = append(t.pending[:0], t.pending[n:]...)
		t.lag, t.known = max(0, now.Sub(t.last.at)), true
		if len(t.pending) == 0 {
			t.stride = 1
		}
		return true
	}
	if len(t.pending) > 0 && t.between(pos, now) {
		return false
	}
	if forget {
		t.known = false
	}
	return false
}

// between estimates for a position inside the oldest outstanding sample: the time at which the WAL at
// pos became available lies between the two samples around it.
func (t *lagTracker) between(pos lsn.LSN, now time.Time) bool {
	next := t.pending[0]
	if t.last.at.IsZero() || pos < t.last.end || next.end <= t.last.end {
		return false
	}
	share := float64(pos-t.last.end) / float64(next.end-t.last.end)
	at := t.last.at.Add(time.Duration(share * float64(next.at.Sub(t.last.at))))
	t.lag, t.known = max(0, now.Sub(at)), true
	return true
}

// value returns the lag, or LagUnknown.
func (t *lagTracker) value() time.Duration {
	if !t.known {
		return LagUnknown
	}
	return t.lag
}
