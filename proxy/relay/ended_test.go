package relay

import (
	"io"
	"testing"
)

// TestWhoEnded: the side that ends first is told first, in each way in which bytes are passed on.
func TestWhoEnded(t *testing.T) {
	for _, way := range ways {
		for _, first := range []Side{Client, Primary} {
			t.Run(way.name+", "+first.String(), func(t *testing.T) {
				var e *Engine
				if way.loop {
					e = engine(t)
				}
				ended := make(chan Side, 2) // both sides
				s := run(t, t.Context(), way.client, way.upstream, func(o *Options) {
					o.Engine, o.OnEnd = e, func(side Side) { ended <- side }
					if way.wrap {
						o.Client = wrapped{o.Client}
					}
				})
				s.login(t)
				ends, other := s.client, s.primary
				if first == Primary {
					ends, other = s.primary, s.client
				}
				ends.Close()
				_, _ = io.ReadAll(other)
				other.Close()
				if err := s.end(t); err != nil {
					t.Errorf("ended with %v", err)
				}
				if side := <-ended; side != first {
					t.Errorf("%v ended first, want %v", side, first)
				}
			})
		}
	}
}
