package walsource

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	var b backoff
	for i, want := range []time.Duration{200, 400, 800, 1600, 3200, 5000, 5000} {
		if d := b.next(0, false, 1); d != want*time.Millisecond {
			t.Errorf("failure %d: %s", i, d)
		}
	}
	if d := b.next(time.Minute, false, 1); d != quickRetry {
		t.Errorf("after streaming: %s", d)
	}
	if d := b.next(0, false, 0); d != firstRetry/2 {
		t.Errorf("jitter reaches down to half: %s", d)
	}
	if d := b.next(0, true, 1); d != slowRetry {
		t.Errorf("permanent: %s", d)
	}
	if d := b.next(time.Minute, true, 1); d != slowRetry {
		t.Errorf("permanent after streaming: %s", d)
	}
	if d := b.next(time.Millisecond, false, 1); d == quickRetry {
		t.Errorf("a connection that dies at once is no reason to hurry: %s", d)
	}
}
