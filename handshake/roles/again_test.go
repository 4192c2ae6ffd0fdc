package roles

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// TestFailedIsAskedAgain: after a failure its name is asked for until there is an answer, though nobody logs in: the
// status would tell of that failure for ever. While no primary is there that waits.
func TestFailedIsAskedAgain(t *testing.T) {
	k, gone := bare(), errors.New("gone")
	k.cache.learn("known", Role{Name: "known"}, true, t0)
	for name, tc := range map[string]struct {
		after time.Duration // the failure
		err   error
		down  bool
		want  []string
	}{
		"the stream is back": {askAgain, gone, false, []string{"a"}},
		"no primary":         {askAgain, gone, true, nil},
		"a moment ago":       {askAgain - 1, gone, false, nil},
		"it was answered":    {askAgain, nil, false, nil},
	} {
		k.lastErr, k.failed, k.failedAt = tc.err, "a", t0.Add(-tc.after)
		if got := k.due(t0, tc.down); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	k.lastErr, k.failedAt, k.retryAt = gone, t0.Add(-askAgain), t0.Add(1)
	if got := k.due(t0, false); got != nil {
		t.Errorf("early: %q", got)
	}
}
