package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestBeside: a question that is not answered within a second is put once more, beside the first, and what answers first
// counts. So a dead connection costs a second and what a fresh one takes, and a slow primary costs nothing.
func TestBeside(t *testing.T) {
	const never = -1
	lost, stops := errors.New("connection lost"), errors.New("the primary stops")
	for _, tc := range []struct {
		name          string
		first, second time.Duration // until each answers
		one, two      error         // what each answers with
		asked         int
		want          string
		wantErr       error
		took          time.Duration
	}{
		{name: "at once", first: 3 * time.Millisecond, asked: 1, want: "first", took: 3 * time.Millisecond},
		{name: "a second is the bound", first: never, second: 40 * time.Millisecond, asked: 2, want: "second",
			took: time.Second + 40*time.Millisecond},
		{name: "slow, and the second one is no quicker", first: 1500 * time.Millisecond, second: 600 * time.Millisecond,
			asked: 2, want: "first", took: 1500 * time.Millisecond},
		{name: "the first one breaks, the second one is waited for", first: 1200 * time.Millisecond, one: lost,
			second: 3 * time.Second, asked: 2, want: "second", took: time.Second + 3*time.Second},
		{name: "the second one can't be made", first: 4 * time.Second, second: 10 * time.Millisecond, two: lost,
			asked: 2, want: "first", took: 4 * time.Second},
		{name: "what is final ends both", first: never, second: 20 * time.Millisecond, two: stops, asked: 2,
			wantErr: stops, took: time.Second + 20*time.Millisecond},
		{name: "an error at once is not asked again", first: time.Millisecond, one: lost, asked: 1, wantErr: lost,
			took: time.Millisecond},
		{name: "nothing at all", first: never, second: never, asked: 2, wantErr: context.DeadlineExceeded,
			took: 8 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				defer cancel()
				asked := make(chan time.Duration, 3)
				began := time.Now()
				got, err := Beside(ctx, func(ctx context.Context, again bool) (string, error) {
					asked <- time.Since(began)
					wait, what, failed := tc.first, "first", tc.one
					if again {
						wait, what, failed = tc.second, "second", tc.two
					}
					if wait == never {
						<-ctx.Done()
						return "", ctx.Err()
					}
					select {
					case <-time.After(wait):
						return what, failed
					case <-ctx.Done():
						return "", ctx.Err()
					}
				}, func(err error) bool { return err == stops }, func(what string) {
					t.Errorf("%s was dropped though it was cancelled", what)
				})
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v, not %v", took, tc.took)
				}
				if !errors.Is(err, tc.wantErr) || err == nil && got != tc.want {
					t.Errorf("%q, %v; want %q, %v", got, err, tc.want, tc.wantErr)
				}
				if len(asked) != tc.asked {
					t.Errorf("asked %d times, not %d", len(asked), tc.asked)
				}
				if <-asked; tc.asked == 2 {
					if at := <-asked; at != time.Second {
						t.Errorf("the second one was asked after %v", at)
					}
				}
			})
		})
	}
}

// TestBesideDropsWhatIsTooLate: an answer that comes although it was cancelled is given back, once.
func TestBesideDropsWhatIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dropped []string
		got, err := Beside(t.Context(), func(ctx context.Context, again bool) (string, error) {
			if again {
				return "second", nil
			}
			<-ctx.Done()
			return "first", nil
		}, func(error) bool { return false }, func(what string) { dropped = append(dropped, what) })
		if got != "second" || err != nil || len(dropped) != 1 || dropped[0] != "first" {
			t.Errorf("%q, %v, dropped %q", got, err, dropped)
		}
	})
}
