package deadline

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingStrikesLate: the scheduler may let the function that sets the deadline run late. Once stop has returned it
// has run, and what is set then holds.
func TestNothingStrikesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		late := func(at time.Time) error {
			time.Sleep(time.Second)
			last = at
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		stop := By(ctx, late)
		cancel()
		synctest.Wait() // it has begun
		for range 2 {
			if !stop() {
				t.Error("stop does not say that the deadline was set")
			}
		}
		last = time.Time{}
		time.Sleep(time.Hour)
		if !last.IsZero() {
			t.Errorf("a deadline was set to %s after stop", last)
		}
	})
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := By(ctx, func(time.Time) error { t.Error("set after stop"); return nil })
	if stop() {
		t.Error("stop says that the deadline was set")
	}
	cancel()
	if stop() {
		t.Error("the second stop says otherwise")
	}
}

func TestReadEnds(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stop := By(ctx, a.SetDeadline)
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if !stop() {
		t.Error("stop does not say that the deadline was set")
	}
}
