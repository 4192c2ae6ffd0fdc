package nudge

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestNothingIsLost: whoever takes the token first and looks then sees the last change.
func TestNothingIsLost(t *testing.T) {
	const changes = 1000
	var changed atomic.Int64
	c := New()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range changes {
				changed.Add(1)
				c.Wake()
			}
		})
	}
	for changed.Load() < 4*changes {
		<-c
	}
	all.Wait()
	c.Wake()
	c.Wake()
	<-c
	select {
	case <-c:
		t.Error("there are two tokens")
	default:
	}
	Chan(nil).Wake() // does not block
}

func TestWakeAllocatesNothing(t *testing.T) {
	c := New()
	if n := testing.AllocsPerRun(100, c.Wake); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
