package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// recorder makes stages that note their end.
type recorder struct{ ended chan string }

func (r recorder) stage(name string, result error) stage {
	return stage{name, func(ctx context.Context) error {
		<-ctx.Done()
		r.ended <- name
		return result
	}}
}

func (r recorder) order() (names []string) {
	close(r.ended)
	for n := range r.ended {
		names = append(names, n)
	}
	return names
}

func TestStagesEndInReverse(t *testing.T) {
	r := recorder{make(chan string, 3)}
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	last := stage{"c", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		r.ended <- "c"
		return context.Cause(ctx)
	}}
	go func() { <-started; cancel() }()
	if err := runStages(ctx, []stage{r.stage("a", nil), r.stage("b", context.Canceled), last}); err != nil {
		t.Error(err)
	}
	if got := r.order(); !reflect.DeepEqual(got, []string{"c", "b", "a"}) {
		t.Errorf("ended in the order %v", got)
	}
}

func TestStageThatFailsEndsAll(t *testing.T) {
	r := recorder{make(chan string, 3)}
	broken := errors.New("disk on fire")
	err := runStages(t.Context(), []stage{r.stage("a", nil), {"b", func(context.Context) error { return broken }}, r.stage("c", nil)})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "b: ") {
		t.Errorf("got %v", err)
	}
	if got := r.order(); !reflect.DeepEqual(got, []string{"c", "a"}) {
		t.Errorf("ended in the order %v", got)
	}
}

func TestStageThatEndsByItselfIsAnError(t *testing.T) {
	err := runStages(t.Context(), []stage{{"a", func(context.Context) error { return nil }}})
	if err == nil || err.Error() != "a ended by itself" {
		t.Errorf("got %v", err)
	}
}

// TestErrorWhileStoppingIsKept: a stage may be asked to end and still fail, as when slots cannot be saved.
func TestErrorWhileStoppingIsKept(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lost := errors.New("cannot save")
	joined := stage{"hub", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.Join(context.Cause(ctx), lost)
	}}
	clean := stage{"hub", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.Join(context.Cause(ctx), nil)
	}}
	if err := runStages(ctx, []stage{joined}); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	if err := runStages(ctx, []stage{clean}); err != nil {
		t.Errorf("clean end: %v", fmt.Sprint(err))
	}
}
