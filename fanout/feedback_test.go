package fanout

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

func TestMerge(t *testing.T) {
	const next = 5<<32 | 1000
	d := func(name string, x, c uint64) namedFeedback { return namedFeedback{name, fb(x, c)} }
	none := merged{}
	for _, tc := range []struct {
		name      string
		in        []namedFeedback
		next, age uint64
		want      merged
	}{
		{"nobody", nil, next, 0, none},
		{"columns apart", []namedFeedback{d("a", next-1, next-9), d("b", next-5, 0)}, next, 0,
			merged{fb(next-5, next-9), 0, "b", "a", nil, nil}},
		{"over the epoch", []namedFeedback{d("a", 5<<32|3, 0), d("b", 4<<32|0xfffffff0, 0)}, next, 0,
			merged{fb(4<<32|0xfffffff0, 0), 0, "b", "", nil, nil}},
		{"a little newer than was known", []namedFeedback{d("a", next+xidSlack, 0)}, next, 0,
			merged{fb(next+xidSlack, 0), 0, "a", "", nil, nil}},
		{"too new", []namedFeedback{d("a", next+xidSlack+1, 0), d("b", next, 0)}, next, 0,
			merged{fb(next, 0), 0, "b", "", []string{"a"}, nil}},
		{"an epoch too old", []namedFeedback{d("a", next-1<<32, 0), d("b", next, 0)}, next, 0,
			merged{fb(next, 0), 0, "b", "", []string{"a"}, nil}},
		{"too old", []namedFeedback{d("a", next-1<<31, 0), d("b", next-1<<31+1, 0)}, next, 0,
			merged{fb(next-1<<31+1, 0), 0, "b", "", []string{"a"}, nil}},
		{"insane catalog_xmin", []namedFeedback{d("a", next-3, next+1<<40), d("b", 0, next-2)}, next, 0,
			merged{fb(0, next-2), 0, "", "b", []string{"a"}, nil}},
		{"next unknown", []namedFeedback{d("a", 1<<60, 0), d("b", 7, 0)}, 0, 100, merged{fb(7, 0), 0, "b", "", nil, nil}},
		{"age cap", []namedFeedback{d("a", next-101, next-50), d("b", next-100, next-99)}, next, 100,
			merged{fb(next-100, next-99), 0, "a", "b", nil, []string{"a"}}},
		{"age cap at an epoch's first", []namedFeedback{d("a", next-2000, 0)}, next, 999,
			merged{fb(5<<32|3, 0), 0, "a", "", nil, []string{"a"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := merge(tc.in, xid(tc.next), xid(tc.age))
			if got.Feedback != tc.want.Feedback || got.xminOf != tc.want.xminOf || got.catalogOf != tc.want.catalogOf ||
				!slices.Equal(got.insane, tc.want.insane) || !slices.Equal(got.capped, tc.want.capped) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestInsaneFeedbackIsNamed: left out while it lasts, said once, counted, and back when it is sane.
func TestInsaneFeedbackIsNamed(t *testing.T) {
	var out syncBuffer
	w := newWorld(t, func(o *Options) {
		o.NextXID = func() (copyboth.FullXID, bool) { return 1000, true }
		o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	}).adopt().grow(1000)
	mad := w.standby(1, StartRequest{At: w.gen.Start()})
	calm := w.standby(2, StartRequest{At: w.gen.Start()})
	calm.feedback(900, 0)
	mad.feedback(1<<40|700, 0)
	mad.feedback(1<<41|700, 0)
	w.waitFor("the insane one to be left out", func() bool {
		st := w.hub.FeedbackStatus()
		return st.Settled && st.Xmin == 900 && st.XminOf == "standby_2" && slices.Equal(st.LeftOut, []string{"standby_1"}) &&
			st.LeftOutTotal == 1
	})
	mad.feedback(800, 0)
	w.waitFor("its sane value", func() bool {
		st := w.hub.FeedbackStatus()
		return st.Xmin == 800 && st.XminOf == "standby_1" && len(st.LeftOut) == 0
	})
	if n := strings.Count(out.String(), "out of range"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out.String())
	}
}

// TestFeedbackStorm: a standby that changes its mind without pause has all of them merged ten times a second, not at
// each message. A value that asks for more is taken over at once, and the last word counts.
func TestFeedbackStorm(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1000)
	calm, mad := w.standby(1, StartRequest{At: w.gen.Start()}), w.standby(2, StartRequest{At: w.gen.Start()})
	calm.feedback(900, 0)
	w.waitFor("the calm one", func() bool { return w.hub.FeedbackStatus().Xmin == 900 })
	merges := func() uint64 {
		w.hub.feedback.mu.Lock()
		defer w.hub.feedback.mu.Unlock()
		return w.hub.feedback.merges
	}
	before, begun := merges(), time.Now()
	const messages = 20_000
	for i := range uint64(messages) {
		mad.feedback(xid(800+i%200), 0)
	}
	mad.feedback(850, 0)
	w.waitFor("the last word", func() bool {
		f, _ := w.hub.UpstreamFeedback().Merged()
		return f.Xmin == 850
	})
	if n, most := merges()-before, 10+2*uint64(time.Since(begun)/mergeDelay); n > most {
		t.Errorf("%d merges for %d messages, at most %d", n, messages, most)
	}
}

// TestLowerAtOnce: within the pause a value that asks for more counts at once, by the rules of merge.
func TestLowerAtOnce(t *testing.T) {
	f := newFeedback()
	f.merged = merged{Feedback: fb(900, 500), next: 1000, xminOf: "a", catalogOf: "b"}
	for _, tc := range []struct {
		xmin, catalog uint64
		want          Feedback
	}{
		{950, 0, fb(900, 500)}, {0, 0, fb(900, 500)}, {890, 600, fb(890, 500)}, {1 << 40, 400, fb(890, 500)},
		{0, 450, fb(890, 450)}, {1, 0, fb(400, 450)}, {800, 450, fb(400, 450)},
	} {
		before := f.merged.Feedback
		f.lower("c", Feedback{Xmin: xid(tc.xmin), CatalogXmin: xid(tc.catalog)}, 600)
		if f.merged.Feedback != tc.want {
			t.Errorf("%d %d: %+v, want %+v", tc.xmin, tc.catalog, f.merged.Feedback, tc.want)
		}
		select {
		case <-f.changed:
			if f.merged.Feedback == before {
				t.Errorf("%d %d: said without a change", tc.xmin, tc.catalog)
			}
		default:
			if f.merged.Feedback != before {
				t.Errorf("%d %d: not said", tc.xmin, tc.catalog)
			}
		}
	}
}

// TestNoFeedbackBeforeItSettled: not even zeros, which would clear what the upstream slot holds (R20).
func TestNoFeedbackBeforeItSettled(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.FeedbackSettle = 1 << 40 }).adopt().grow(1000)
	s := w.standby(1, StartRequest{At: w.gen.Start()})
	s.feedback(900, 0)
	w.waitFor("the report", func() bool { return w.hub.FeedbackStatus().Xmin == 900 })
	if f, ok := w.hub.UpstreamFeedback().Merged(); ok {
		t.Errorf("%+v is sent before everybody had the time to come back", f)
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
