package walreceiver

import (
	"testing"
	"time"
)

// TestEnded: attempts that fail one after the other, and streams that bring nothing, leave the moment of the first.
func TestEnded(t *testing.T) {
	t.Parallel()
	r := &Receiver{}
	r.setState(Connecting)
	if !r.status.Ended.IsZero() {
		t.Error("ended before anything has")
	}
	r.setState(Disconnected)
	first := r.status.Ended
	for _, s := range []State{Connecting, Disconnected, Connecting, Streaming, Disconnected} {
		r.setState(s)
	}
	if first.IsZero() || !r.status.Ended.Equal(first) {
		t.Errorf("%s, first %s", r.status.Ended, first)
	}
	r.setState(Streaming)
	r.status.LastMessage = time.Now().Add(time.Second)
	if r.setState(Disconnected); !r.status.Ended.After(first) {
		t.Error("a stream that brought something has not ended")
	}
}
