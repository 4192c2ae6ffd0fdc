package upstream

import (
	"context"
	"time"
)

// Patience bounds the wait for an answer before the question is put once more, beside the first, over a new
// connection. A NAT or a firewall forgets connections without a word. An answer comes within milliseconds, and that of
// a primary that is slow is still waited for.
const Patience = time.Second

// Beside runs ask, and once more with again set when nothing has come of it after [Patience]. What answers first
// counts; an error that is not final leaves the other one the time that ctx has. The one that loses is cancelled and
// waited for, and drop gets what it brought all the same.
func Beside[T any](ctx context.Context, ask func(ctx context.Context, again bool) (T, error), final func(error) bool,
	drop func(T),
) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 2)
	put := func(again bool) {
		go func() {
			v, err := ask(ctx, again)
			answers <- answer{v, err}
		}()
	}
	put(false)
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	for running := 1; ; {
		select {
		case <-timer.C:
			put(true)
			running++
		case got := <-answers:
			if running--; running == 0 {
				return got.value, got.err
			}
			if got.err != nil && !final(got.err) {
				continue
			}
			cancel()
			if lost := <-answers; lost.err == nil {
				drop(lost.value)
			}
			return got.value, got.err
		}
	}
}
