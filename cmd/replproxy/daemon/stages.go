package daemon

import (
	"context"
	"errors"
	"fmt"
)

// stage is a part that runs until its context ends. Stages are started in order and ended in reverse,
// each only after the one that was started later has ended.
type stage struct {
	name string
	run  func(context.Context) error
}

// errStop is the cause with which stages are ended.
var errStop = errors.New("replproxy stops")

// runStages runs all stages until ctx ends or the first of them does, which no stage may by itself.
// It returns why that one ended, or what went wrong while stopping.
func runStages(ctx context.Context, stages []stage) error {
	type running struct {
		stop context.CancelCauseFunc
		done chan error
	}
	ended := make(chan error, len(stages))
	all := make([]running, len(stages))
	for i, s := range stages {
		stageCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
		all[i] = running{stop, make(chan error, 1)}
		go func() {
			err := s.run(stageCtx)
			asked := stageCtx.Err() != nil
			switch {
			case !asked && err == nil:
				err = fmt.Errorf("%s ended by itself", s.name)
			case asked && (err == nil || err.Error() == errStop.Error() || err.Error() == context.Canceled.Error()):
				err = nil // the end that was asked for
			default:
				err = fmt.Errorf("%s: %w", s.name, err)
			}
			all[i].done <- err
			ended <- err
		}()
	}
	var first error
	select {
	case <-ctx.Done():
	case first = <-ended:
	}
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop(errStop)
		if err := <-all[i].done; first == nil {
			first = err
		}
	}
	return first
}
