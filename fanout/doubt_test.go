package fanout

import (
	"testing"
	"time"
)

// Two sessions of a name may be ended within wal_sender_timeout, and what is remembered of names is bounded by it.
func TestEndings(t *testing.T) {
	var e endings
	now := time.Unix(1_700_000_000, 0)
	allowed := func(name string, within time.Duration) bool { return e.allow(name, within, now) }
	for i, want := range []bool{true, true, false} {
		if got := allowed("s1", 10*time.Second); got != want {
			t.Errorf("ending %d: %v", i+1, got)
		}
		now = now.Add(time.Second)
	}
	if !allowed("s2", 0) {
		t.Error("another name's endings count")
	}
	now = now.Add(7 * time.Second) // the first is 10 s ago, the second 9
	if !allowed("s1", 10*time.Second) || allowed("s1", 10*time.Second) {
		t.Error("not one more after the time of the first")
	}
	now = now.Add(endingsWithin)
	if !allowed("s3", 0) || len(e.at) != 1 {
		t.Errorf("%d names are remembered", len(e.at))
	}
}
