package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func refused(t *testing.T, err error, code pgerror.Code, message string) {
	t.Helper()
	var e *pgerror.Error
	if !errors.As(err, &e) || e.Code != code || e.Message != message || e.IsFatal() {
		t.Errorf("got %v, expected %s %q", err, code, message)
	}
}

func TestBeforeTheFirstStream(t *testing.T) {
	w := newWorld(t, nil)
	const starting = "the database system is starting up"
	_, err := w.hub.Identify()
	refused(t, err, pgerror.CannotConnectNow, starting)
	refused(t, w.standby(1, StartRequest{At: 0x3000000}).ended(), pgerror.CannotConnectNow, starting)
	refused(t, w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a", ReserveWAL: true}, 1), pgerror.CannotConnectNow, starting)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	if st, ok := w.readSlot("a"); !ok || st != (SlotState{}) {
		t.Errorf("%+v", st)
	}
}

func TestIdentify(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	id, err := w.hub.Identify()
	w.must(err)
	if id != (Identity{w.gen.Source.System, 1, w.end}) {
		t.Errorf("%+v, fed %s", id, w.end)
	}
	_, _, err = w.hub.TimelineHistory(1)
	refused(t, err, pgerror.UndefinedFile, `could not open file "pg_wal/00000001.history": No such file or directory`)
	w.must(w.store.PutHistory(2, []byte("1\t0/3010000\twhy\n")))
	_, _, err = w.hub.TimelineHistory(2) // of a server that is not followed yet
	refused(t, err, pgerror.UndefinedFile, `could not open file "pg_wal/00000002.history": No such file or directory`)
	w.must(w.store.StartStream(2, 0x3000000))
	name, content, err := w.hub.TimelineHistory(2)
	if name != "00000002.history" || string(content) != "1\t0/3010000\twhy\n" || err != nil {
		t.Errorf("%s %q %v", name, content, err)
	}
}

func TestRefusalsBeforeCopy(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "busy", Temporary: true}, 77))
	for _, tc := range []struct {
		name string
		r    StartRequest
		code pgerror.Code
		msg  string
	}{
		{"timeline", StartRequest{At: 0x3000000, Timeline: 2}, pgerror.InternalError,
			"requested timeline 2 is not in this server's history"},
		{"no slot", StartRequest{Slot: "x", At: 0x3000000}, pgerror.UndefinedObject, `replication slot "x" does not exist`},
		{"slot before timeline", StartRequest{Slot: "x", At: 0x3000000, Timeline: 9}, pgerror.UndefinedObject,
			`replication slot "x" does not exist`},
		{"busy slot", StartRequest{Slot: "busy", At: 0x3000000}, pgerror.ObjectInUse,
			`replication slot "busy" is active for PID 77`},
	} {
		s := w.standby(1, tc.r)
		refused(t, s.ended(), tc.code, tc.msg)
		s.expect("EOF") // not even CopyBothResponse; the test closes the connection
	}
	if rows := w.hub.Standbys(); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestRefusalsAfterCopyBoth(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	far := w.end + lsn.LSN(testSeg) + 1
	s := w.standby(1, StartRequest{At: far})
	s.expect(copyBoth)
	refused(t, s.ended(), pgerror.InternalError,
		fmt.Sprintf("requested starting point %s is ahead of the WAL flush position of this server %s", far, w.end))
	s = w.standby(1, StartRequest{At: 0x2F00000})
	s.expect(copyBoth)
	refused(t, s.ended(), pgerror.UndefinedFile,
		"requested WAL segment 00000001000000000000002F has already been removed")
}

// TestFanOut: standbys that start anywhere, from disk or from memory, get the primary's bytes while
// more of them come in.
func TestFanOut(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(10 << 20)
	const standbys = 8
	final := make(chan lsn.LSN)
	var wg sync.WaitGroup
	for i := range int32(standbys) {
		at := w.gen.Start() + lsn.LSN(rand.Int64N(int64(w.end-w.gen.Start())))
		if i%2 == 0 {
			at = w.gen.Start()
		}
		s := w.standby(1+i, StartRequest{At: at})
		s.expect(copyBoth)
		wg.Go(func() {
			end := <-final
			s.until(end)
			s.reply(end)
		})
	}
	w.waitFor("all attached", func() bool { return len(w.hub.Standbys()) == standbys })
	w.grow(4 << 20)
	for range standbys {
		final <- w.end
	}
	wg.Wait()
	w.waitFor("all confirmed", func() bool {
		rows := w.hub.Standbys()
		return !slices.ContainsFunc(rows, func(s Standby) bool { return s.Flush != w.end || s.State.String() != "streaming" })
	})
	fromDisk := uint64(0)
	for _, row := range w.hub.Standbys() {
		fromDisk += row.FromDisk
		if row.Sent != w.end || row.LastReply.IsZero() || row.AboveReceived != 0 {
			t.Errorf("%+v", row)
		}
	}
	if fromDisk == 0 {
		t.Error("nobody read from disk: the test shows half of it")
	}
	w.waitFor("all acks", func() bool { return len(w.acks.all()) == standbys })
	if a := w.acks.all()[0]; a.Flush != w.end || a.Name == "" {
		t.Errorf("%+v", a)
	}
}

// TestTimelineSwitch: a standby is led over a fork by the end-of-timeline exchange (facts E6).
func TestTimelineSwitch(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1_500_000)
	s := w.standby(1, StartRequest{At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)

	fork := w.end
	w.gen = w.gen.Fork(fork, 2)
	w.must(w.store.PutHistory(2, w.gen.HistoryFile()))
	w.end = testSeg.Floor(fork)
	w.must(w.store.StartStream(2, w.end))
	s.expect(`c ""`)
	s.write('c', nil)
	if err := s.ended(); err != nil || s.next == nil || *s.next != (NextTimeline{Timeline: 2, Start: fork}) {
		t.Fatal(s.next, err)
	}
	w.grow(1_000_000)
	id, err := w.hub.Identify()
	if err != nil || id.Timeline != 2 || id.XLogPos != w.end {
		t.Errorf("%+v %v", id, err)
	}
	// Nothing is left of timeline 1: no COPY at all.
	s = w.standby(1, StartRequest{At: fork, Timeline: 1})
	if err := s.ended(); err != nil || s.next == nil || *s.next != (NextTimeline{Timeline: 2, Start: fork}) {
		t.Fatal(s.next, err)
	}
	s.expect("EOF")
	refused(t, w.standby(1, StartRequest{At: fork + 1, Timeline: 1}).ended(), pgerror.InternalError,
		fmt.Sprintf("requested starting point %s on timeline 1 is not in this server's history", fork+1))
	// The walreceiver's next start is the beginning of the segment, on the new timeline.
	s = w.standby(1, StartRequest{At: testSeg.Floor(fork), Timeline: 2})
	s.expect(copyBoth)
	s.until(w.end)
	// A standby from scratch is taken over both.
	s = w.standby(2, StartRequest{At: 0x3000000, Timeline: 1})
	s.expect(copyBoth)
	s.until(fork)
	s.expect(`c ""`)
	s.write('c', nil)
	if err := s.ended(); err != nil || s.next == nil {
		t.Fatal(err)
	}
}

// TestForkBelow: the new timeline lacks WAL that standbys have been sent (ruling R3). Whoever streams
// is told the end of the timeline (facts E6, K23), whoever asks beyond it PostgreSQL's error, and slots
// return to the fork.
func TestForkBelow(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1_500_000)
	fork := w.gen.End()
	w.grow(2_500_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	beyond := w.standby(1, StartRequest{Slot: "a", At: w.gen.Start()})
	beyond.expect(copyBoth)
	beyond.until(w.end)
	beyond.reply(w.end)
	end := w.end
	w.waitFor("restart_lsn follows", func() bool { st, _ := w.readSlot("a"); return st.RestartLSN == end })
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "b", ReserveWAL: true}, 2))
	reserved, _ := w.readSlot("b")

	w.gen = w.gen.Fork(fork, 2)
	w.must(w.store.PutHistory(2, w.gen.HistoryFile()))
	w.end = testSeg.Floor(fork)
	w.must(w.store.StartStream(2, w.end))
	beyond.expect(`c ""`)
	beyond.reply(end) // it knows no better
	beyond.write('c', nil)
	if err := beyond.ended(); err != nil || beyond.next == nil || *beyond.next != (NextTimeline{Timeline: 2, Start: fork}) {
		t.Fatal(beyond.next, err)
	}
	w.waitFor("slots at the fork", func() bool {
		a, _ := w.readSlot("a")
		b, _ := w.readSlot("b")
		return a.RestartLSN == fork && b.RestartLSN == min(reserved.RestartLSN, fork)
	})
	w.grow(4_000_000)
	refused(t, w.standby(1, StartRequest{Slot: "a", At: testSeg.Floor(end), Timeline: 1}).ended(), pgerror.InternalError,
		fmt.Sprintf("requested starting point %s on timeline 1 is not in this server's history", testSeg.Floor(end)))
	// Rewound, it comes from below the fork, on either timeline.
	s := w.standby(1, StartRequest{Slot: "a", At: testSeg.Floor(fork), Timeline: 1})
	s.expect(copyBoth)
	s.until(fork)
	s.expect(`c ""`)
	s.write('c', nil)
	w.must(s.ended())
	s = w.standby(1, StartRequest{Slot: "a", At: testSeg.Floor(fork), Timeline: 2})
	s.expect(copyBoth)
	s.until(w.end)
}

// TestTune changes a hub that runs.
func TestTune(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.NextXID = func() (copyboth.FullXID, bool) { return 5000, true }
	}).adopt().grow(100_000)
	at := w.gen.Start()
	refused(t, w.standby(1, StartRequest{Slot: "new", At: at}).ended(), pgerror.UndefinedObject,
		`replication slot "new" does not exist`)
	w.hub.Tune(Tuning{AutoCreateSlots: true})
	s := w.standby(1, StartRequest{Slot: "new", At: at})
	s.expect(copyBoth)
	s.feedback(1000, 0)
	w.waitFor("the standby's xmin", func() bool { return w.hub.FeedbackStatus().Xmin == 1000 })
	w.hub.Tune(Tuning{FeedbackMaxAge: 100})
	if f := w.hub.FeedbackStatus(); f.Xmin != 4900 || len(f.Capped) != 1 {
		t.Errorf("with feedback.max_age: %+v", f)
	}
	w.hub.Tune(Tuning{})
	if f := w.hub.FeedbackStatus(); f.Xmin != 1000 || len(f.Capped) != 0 {
		t.Errorf("without it again: %+v", f)
	}
}

func TestDrainAll(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	s := w.standby(1, StartRequest{At: w.gen.Start()})
	s.expect(copyBoth)
	s.cancel(ErrDrain)
	s.until(w.end)
	s.expect("k true")
	s.reply(w.end)
	s.expect(`C "COPY 0\x00"`, "EOF")
	if err := s.ended(); !errors.Is(err, ErrSessionOver) {
		t.Fatal(err)
	}
	w.acks.mu.Lock()
	defer w.acks.mu.Unlock()
	if !slices.Equal(w.acks.gone, []string{"standby_1"}) {
		t.Errorf("gone: %v", w.acks.gone)
	}
}

// TestAckAboveReceived: a returning standby first reports its replay position (R28).
func TestAckAboveReceived(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(100_000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	s := w.standby(1, StartRequest{Slot: "a", At: w.gen.Start()})
	s.expect(copyBoth)
	s.reply(w.end + 0x100000)
	w.waitFor("clamped", func() bool { st, _ := w.readSlot("a"); return st.RestartLSN == w.end })
	row := w.hub.Standbys()[0]
	if row.Flush != w.end+0x100000 || row.AboveReceived != 1 || row.Slot != "a" {
		t.Errorf("%+v", row)
	}
	w.waitFor("the ack", func() bool { return len(w.acks.all()) == 1 })
	if a := w.acks.all()[0]; a.Sent > w.end || a.Flush != w.end+0x100000 {
		t.Errorf("%+v", a)
	}
}

func TestFeedbackIsMerged(t *testing.T) {
	w := newWorld(t, nil).adopt().grow(1000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	slotless := w.standby(1, StartRequest{At: w.gen.Start()})
	slotted := w.standby(2, StartRequest{Slot: "a", At: w.gen.Start()})
	slotless.feedback(1<<32|700, 900)
	slotted.feedback(1<<32|800, 0)
	want := func(f Feedback) {
		t.Helper()
		w.waitFor(fmt.Sprintf("feedback %+v", f), func() bool { got, ok := w.hub.Feedback(); return ok && got == f })
	}
	want(fb(1<<32|700, 900))
	slotted.feedback(1<<32|600, 950)
	want(fb(1<<32|600, 900))
	slotless.leave() // withdrawn
	want(fb(1<<32|600, 950))
	slotted.leave() // held by the slot
	want(fb(1<<32|600, 950))
	w.must(w.hub.DropSlot(t.Context(), "a", true, 3))
	want(Feedback{})
	if len(w.hub.FeedbackChanged()) != 1 {
		t.Error("no wake-up")
	}
}

// TestRunSavesAtTheEnd: a moved slot is on disk when Run returned, whatever the interval.
func TestRunSavesAtTheEnd(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PersistInterval = 1 << 40 }).adopt().grow(1000)
	w.must(w.hub.CreateSlot(t.Context(), SlotRequest{Name: "a"}, 1))
	claim, _, err := w.slots.Propose(shared.Attach, "a", 1)
	w.must(err)
	g, err := w.slots.Acquire(claim, 1)
	w.must(err)
	g.Confirm(w.end)
	w.shutdown()
	w.start(nil)
	if st, _ := w.readSlot("a"); st.RestartLSN != w.end {
		t.Errorf("%+v", st)
	}
	if b := bytes.Count([]byte(fmt.Sprint(w.hub.Slots())), []byte("{a ")); b != 1 {
		t.Errorf("%v", w.hub.Slots())
	}
}
