package walreceiver

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Only a disk that brings nothing nearer is stuck: one that is slow is waited for, as is one that is done.
func TestStuck(t *testing.T) {
	var c stuck
	for _, s := range []struct {
		after             time.Duration
		received, flushed lsn.LSN
		paused            bool
		stands            time.Duration
	}{
		{0, 100, 50, true, 0},
		{2 * time.Second, 200, 50, true, 2 * time.Second},
		{9 * time.Second, 300, 50, false, 9 * time.Second}, // fsync hangs
		{10 * time.Second, 300, 60, true, 0},               // slow
		{13 * time.Second, 300, 60, true, 3 * time.Second},
		{14 * time.Second, 300, 300, false, 0},
		{90 * time.Second, 300, 300, false, 0}, // nothing is owed
		{91 * time.Second, 400, 300, false, time.Second},
		{92 * time.Second, 300, 300, true, 2 * time.Second}, // a message waits for the disk, unread
	} {
		if got := c.step(t0.Add(s.after), s.received, s.flushed, s.paused); got != s.stands {
			t.Errorf("after %s: %s, expected %s", s.after, got, s.stands)
		}
	}
}

// Whoever looks again and again sees a disk that is stuck, and not that it stood still itself.
func TestStuckLooks(t *testing.T) {
	var l stuckLooks
	for _, s := range []struct {
		after    time.Duration
		received lsn.LSN
		stuck    bool
	}{
		{0, 100, false}, {time.Second, 100, false}, {3 * time.Second, 100, false}, {4 * time.Second, 100, true},
		{5 * time.Second, 200, true},
		{30 * time.Second, 200, false}, // nobody looked meanwhile
		{32 * time.Second, 200, false}, {34 * time.Second, 200, true},
		{35 * time.Second, 50, false}, // it has taken all
	} {
		if got := l.step(t0.Add(s.after), s.received, 50, false); got != s.stuck {
			t.Errorf("after %s: %t", s.after, got)
		}
	}
}
