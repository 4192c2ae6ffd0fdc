package crowd

import (
	"strconv"
	"testing"
	"time"
)

// TestRepeats: what repeats is said once a minute with the number of the lines between, and what is remembered is
// bounded.
func TestRepeats(t *testing.T) {
	var r Repeats
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	expect := func(line string, after time.Duration, n int, ok bool) {
		t.Helper()
		if got, passed := r.Admit(line, now.Add(after)); got != n || passed != ok {
			t.Errorf("%s after %v: %d, %v, want %d, %v", line, after, got, passed, n, ok)
		}
	}
	expect("a", 0, 0, true)
	expect("a", time.Second, 0, false)
	expect("b", time.Second, 0, true)
	expect("a", 59*time.Second, 0, false)
	expect("a", 60*time.Second, 2, true)
	expect("a", 61*time.Second, 0, false)
	expect("b", 70*time.Second, 0, true)
	expect("a", -time.Second, 1, true) // the clock was set
	for i := range 2 * repeatsKept {
		expect(strconv.Itoa(i), time.Hour, 0, true)
	}
	if len(r.said) > repeatsKept {
		t.Errorf("%d are remembered", len(r.said))
	}
	expect("0", time.Hour+time.Second, 0, false)
	expect("new", 2*time.Hour, 0, true)
	expect("new", 2*time.Hour, 0, false)
}
