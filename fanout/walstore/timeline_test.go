package walstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func putHistory(t testing.TB, s *Store, g *walstoretest.Generator) {
	t.Helper()
	if err := s.PutHistory(g.Timeline(), g.HistoryFile()); err != nil {
		t.Fatalf("PutHistory: %v", err)
	}
}

// TestTimelineSwitch follows a promotion at every kind of place, restarts, and reads both
// timelines.
func TestTimelineSwitch(t *testing.T) {
	cases := []struct {
		name     string
		boundary bool // the fork is a segment boundary
		beyond   bool // the old timeline was received beyond the fork
		short    bool // the old timeline was not received up to the fork
	}{
		{name: "at the received end"},
		{name: "on a segment boundary", boundary: true},
		{name: "below the received end", beyond: true},
		{name: "above the received end", short: true},
		{name: "on a boundary below the received end", boundary: true, beyond: true},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(i), 9))
			old := newGen()
			old.Fill(old.Start()+5<<19, rnd)
			if c.boundary {
				old.Switch()
			}
			for c.short && testSeg.Offset(old.End()) < 4*lsn.PageSize {
				old.Record(1000)
			}
			fork := old.End()
			g := old.Fork(fork, 3)
			g.Fill(g.End()+5<<19, rnd)
			if c.beyond {
				old.Fill(old.End()+3<<20, rnd)
			}
			fsys := vfs.NewMem()
			s := openMem(t, fsys)
			begin(t, s, old)
			received := fork
			if c.short {
				received = testSeg.Floor(fork) + 2*lsn.PageSize
				sendUpTo(t, s, old, received)
			} else {
				send(t, s, old, old.Start())
			}
			putHistory(t, s, g)
			watch := s.Watch(MovedTimeline)
			defer watch.Close()
			<-watch.C()
			at := testSeg.Floor(fork)
			start(t, s, 3, at)
			<-watch.C()
			end := min(fork, received)
			want := Positions{Timeline: 3, Oldest: g.Start(), Received: end, Written: end, Flushed: end, Reportable: end,
				Complete: lastRecord(old, end)}
			if got := s.Positions(); got != want {
				t.Fatalf("positions after the switch: %+v, want %+v", got, want)
			}
			s = reopen(t, s, fsys) // a crash right behind the switch
			if got := s.Positions(); got != want {
				t.Fatalf("positions after reopening: %+v, want %+v", got, want)
			}
			start(t, s, 3, at)
			send(t, s, g, at)
			s = bothTimelines(t, s, fsys, g, fork)
			_, err := fsys.ReadDir("/data/diverged/1-" + hexParts(fork))
			if moved := err == nil; moved != c.beyond {
				t.Fatalf("WAL was moved aside: %v", moved)
			}
			if _, err := s.NewReader(1, fork+8); !errors.Is(err, ErrTimeline) {
				t.Fatalf("a reader beyond the fork: %v", err)
			}
		})
	}
}

// bothTimelines reads timelines 1 and 3 of g, before and after a restart.
func bothTimelines(t *testing.T, s *Store, fsys FS, g *walstoretest.Generator, fork lsn.LSN) *Store {
	for range 2 {
		drain(t, s)
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		readAll(t, s, g, 3, fork, g.End())
		readAll(t, s, g, 1, g.Start(), fork)
		if got := s.History(); got.Timeline != 3 || got.Begin() != fork {
			t.Fatalf("history: %+v", got)
		}
		if got := s.Positions(); got.Oldest != g.Start() || got.Flushed != g.End() {
			t.Fatalf("positions at the end: %+v", got)
		}
		s = reopen(t, s, fsys)
	}
	return s
}

func hexParts(l lsn.LSN) string {
	return string(bytes.ReplaceAll([]byte(l.String()), []byte("/"), []byte("-")))
}

// sendUpTo appends WAL up to end, a page boundary or a record end.
func sendUpTo(t testing.TB, s *Store, g *walstoretest.Generator, end lsn.LSN) {
	t.Helper()
	for _, m := range g.Messages(g.Start(), nil) {
		if m.At >= end {
			return
		}
		m.Data = m.Data[:min(m.End(), end)-m.At]
		appendMessage(t, s, m)
		if _, err := s.writeStep(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTimelineRefusals(t *testing.T) {
	old := newGen()
	old.Fill(old.Start()+3<<20, rand.New(rand.NewPCG(1, 2)))
	fork := old.Records()[len(old.Records())/2].End
	g := old.Fork(fork, 2)
	s := openMem(t, vfs.NewMem())
	begin(t, s, old)
	send(t, s, old, old.Start())

	if err := s.StartStream(2, testSeg.Floor(fork)); !errors.Is(err, ErrNoHistory) {
		t.Fatalf("without history: %v", err)
	}
	putHistory(t, s, g)
	if _, err := s.HistoryFile(1); !errors.Is(err, ErrNoHistory) {
		t.Fatalf("HistoryFile(1): %v", err)
	}
	if err := s.PutHistory(5, []byte("4\t0/100050\tx\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.StartStream(5, testSeg.Floor(old.End())); !errors.Is(err, ErrTimeline) {
		t.Fatalf("a stranger's timeline: %v", err)
	}
	if err := s.StartStream(1, testSeg.Floor(old.End())+lsn.LSN(testSeg)); !errors.Is(err, ErrGap) {
		t.Fatalf("ahead: %v", err)
	}
	if err := s.StartStream(1, old.Records()[0].End); !errors.Is(err, ErrGap) {
		t.Fatalf("inside a segment: %v", err)
	}
	far := old.Fork(old.End(), 6)
	far.Fill(far.End()+4<<20, rand.New(rand.NewPCG(1, 3)))
	putHistory(t, s, far)
	if err := s.StartStream(6, testSeg.Floor(far.End())); !errors.Is(err, ErrGap) {
		t.Fatalf("a switch with a hole: %v", err)
	}
	if err := s.AppendFrom(context.Background(), old.End(), bytes.NewReader(nil), 8); !errors.Is(err, ErrGap) {
		t.Fatalf("append without a stream: %v", err)
	}
	if err := s.StartStream(6, testSeg.Floor(old.End())); err != nil {
		t.Fatal(err)
	}
	if err := s.StartStream(1, testSeg.Floor(old.End())); !errors.Is(err, ErrTimeline) {
		t.Fatalf("back to the old timeline: %v", err)
	}
	if err := s.PutHistory(6, []byte("1\t0/100050\tother\n")); !errors.Is(err, ErrHistory) {
		t.Fatalf("another history: %v", err)
	}
	if err := s.PutHistory(6, bytes.ReplaceAll(far.HistoryFile(), []byte("no recovery"), []byte("some"))); err != nil {
		t.Fatalf("the same history in other words: %v", err)
	}
	if got, err := s.HistoryFile(6); err != nil || !bytes.Equal(got, far.HistoryFile()) {
		t.Fatalf("HistoryFile: %q, %v", got, err)
	}
}

// TestHistoryOfATimelineNeverReached: the history of a server that was about to be followed is nobody's business until
// the store is on that timeline, also after a restart. That of another server with the same number takes its place. A
// store that was emptied still knows by its promise how far it had been.
func TestHistoryOfATimelineNeverReached(t *testing.T) {
	old := newGen()
	old.Fill(old.Start()+3<<20, rand.New(rand.NewPCG(1, 2)))
	first, second := old.Fork(old.Records()[len(old.Records())/2].End, 2), old.Fork(old.End(), 2)
	disk := vfs.NewMem()
	s := openMem(t, disk)
	begin(t, s, old)
	send(t, s, old, old.Start())
	putHistory(t, s, first)
	drain(t, s)
	for range 2 {
		if _, err := s.HistoryFile(2); !errors.Is(err, ErrNoHistory) {
			t.Fatalf("it is shown: %v", err)
		}
		disk = disk.Kill()
		s = openMem(t, disk)
	}
	putHistory(t, s, second)
	if err := s.StartStream(2, testSeg.Floor(old.End())); err != nil {
		t.Fatal(err)
	}
	if got, err := s.HistoryFile(2); err != nil || !bytes.Equal(got, second.HistoryFile()) {
		t.Fatalf("HistoryFile: %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		p     Promise
		shown bool
	}{
		"nothing was promised": {Promise{}, false}, "on the timeline before": {Promise{At: 100, Timeline: 1}, false},
		"there": {Promise{At: 100, Timeline: 2}, true}, "nobody knows where": {Promise{At: 100}, true},
	} {
		s := openMem(t, vfs.NewMem())
		putHistory(t, s, first)
		s.promised.now = c.p
		_, err := s.HistoryFile(2)
		if refused := s.PutHistory(2, second.HistoryFile()); (err == nil) != c.shown || (refused != nil) != c.shown {
			t.Errorf("emptied, %s: %v, %v", name, err, refused)
		}
	}
}

// TestRemovalDuringSwitch: removal that has looked at the old timeline's positions takes nothing of the new
// one, and what the switch finds removed is no oldest position.
func TestRemovalDuringSwitch(t *testing.T) {
	old := newGen()
	old.Fill(old.Start()+5<<19, rand.New(rand.NewPCG(3, 5)))
	fork := old.End()
	g := old.Fork(fork, 2)
	g.Fill(g.End()+3<<20, rand.New(rand.NewPCG(3, 6)))
	old.Fill(old.End()+6<<20, rand.New(rand.NewPCG(3, 7)))

	var during func()
	s := openMem(t, vfs.NewMem(), func(o *Options) {
		o.KeepSize = int64(testSeg)
		o.Short = func() bool { // asked between the look at the positions and the removal
			if during != nil {
				during()
			}
			return false
		}
	})
	begin(t, s, old)
	send(t, s, old, old.Start())
	putHistory(t, s, g)
	switched := make(chan error, 1)
	drain(t, s)
	during = func() {
		during = nil
		go func() { switched <- s.StartStream(2, testSeg.Floor(fork)) }()
		for range 10000 {
			select {
			case err := <-switched:
				switched <- err
				return
			default:
				runtime.Gosched()
			}
		}
	}
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	err := <-switched
	if errors.Is(err, ErrGap) {
		if p := s.Positions(); p.Timeline != 1 || p.Oldest <= fork {
			t.Fatalf("a switch that came after the removal left %+v", p)
		}
		readAll(t, s, old, 1, s.Positions().Oldest, old.End())
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Positions(); p.Oldest > fork {
		t.Fatalf("after the switch %+v", p)
	}
	readAll(t, s, g, 1, s.Positions().Oldest, fork)
	s.segs.mu.Lock()
	first := s.segs.have[segKey{2, testSeg.Segno(fork)}]
	s.segs.mu.Unlock()
	if !first {
		t.Fatal("the new timeline's first segment was removed")
	}
}

// TestReadersAcrossSwitch: whoever holds bytes of the old timeline keeps them, and reads on to the
// fork while the new timeline grows.
func TestReadersAcrossSwitch(t *testing.T) {
	old := newGen()
	old.Fill(old.Start()+1<<19, rand.New(rand.NewPCG(5, 5)))
	fork := old.End()
	g := old.Fork(fork, 2)
	g.Fill(g.End()+8<<20, rand.New(rand.NewPCG(6, 6)))
	old.Fill(old.End()+1<<18, rand.New(rand.NewPCG(7, 7)))

	s := openMem(t, vfs.NewMem())
	begin(t, s, old)
	send(t, s, old, old.Start())
	r, err := s.NewReader(1, old.Start())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ahead, err := s.NewReader(1, (old.End() - 1).PageStart())
	if err != nil {
		t.Fatal(err)
	}
	defer ahead.Close()
	held, err := ahead.Next(old.End(), 1<<20)
	if err != nil || held.Len() == 0 {
		t.Fatalf("held chunk: %+v, %v", held, err)
	}
	putHistory(t, s, g)
	start(t, s, 2, testSeg.Floor(fork))
	send(t, s, g, testSeg.Floor(fork))
	if !bytes.Equal(held.Mem[0], old.Bytes(held.Start, held.Start+lsn.LSN(len(held.Mem[0])))) {
		t.Fatal("bytes under a reader changed")
	}
	if c, err := ahead.Next(g.End(), 1<<20); err != nil || c.Len() != 0 {
		t.Fatalf("a reader beyond the fork got [%s, %s), %v", c.Start, c.End, err)
	}
	at := old.Start()
	for {
		c, err := r.Next(g.End(), walstoretest.MaxSend)
		if err != nil {
			t.Fatal(err)
		}
		if c.Len() == 0 {
			break
		}
		b, err := c.Bytes(make([]byte, c.Len()))
		if err != nil || !bytes.Equal(b, old.Bytes(c.Start, c.End)) {
			t.Fatalf("chunk [%s, %s): %v", c.Start, c.End, err)
		}
		at = c.End
	}
	if at != fork {
		t.Fatalf("the old timeline ended at %s, want %s", at, fork)
	}
}
