package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const seg = lsn.LSN(lsn.MinSegSize)

// fakeStore is complete up to end; it has what is in have.
type fakeStore struct {
	mu      sync.Mutex
	end     lsn.LSN
	have    map[lsn.LSN]bool
	damaged map[lsn.LSN]bool
}

func (s *fakeStore) Identity() (walstore.Identity, bool) {
	return walstore.Identity{System: 7, SegSize: lsn.MinSegSize, ServerMajor: 15}, true
}

func (s *fakeStore) SegmentOf(pos lsn.LSN) (walstore.Segment, bool) {
	g := walstore.Segment{Timeline: 1, Start: pos / seg * seg}
	g.End = g.Start + seg
	return g, g.End <= s.end
}

func (s *fakeStore) Name(g walstore.Segment) string { return g.Start.String() }

func (s *fakeStore) Has(g walstore.Segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have[g.Start]
}

func (s *fakeStore) Check(g walstore.Segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.damaged[g.Start]:
		return &walstore.DamagedError{File: "x", LSN: g.Start}
	case !s.have[g.Start]:
		return &walstore.RemovedError{Segment: "x"}
	}
	return nil
}

func (s *fakeStore) Import(g walstore.Segment, r io.Reader) error {
	b := make([]byte, seg)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if !bytes.Equal(b, content(g.Start)) {
		return walstore.ErrDiverged
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[g.Start] = true
	delete(s.damaged, g.Start)
	return nil
}

func content(at lsn.LSN) []byte { return bytes.Repeat([]byte{byte(at >> 20)}, int(seg)) }

// fakeSource has the segments in has, and counts how often it was opened.
type fakeSource struct {
	has     map[lsn.LSN]bool
	refuses error         // nil: it says that it has not got the WAL
	gate    chan struct{} // nil: open; else Open waits for it
	opened  int
	runs    []Run
}

func (f *fakeSource) String() string { return "fake" }

func (f *fakeSource) Open(ctx context.Context, _ walstore.Identity, r Run) (io.ReadCloser, error) {
	f.opened++
	f.runs = append(f.runs, r)
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	var b []byte
	for at := r.Start; at < r.End && f.has[at]; at += seg {
		b = append(b, content(at)...)
	}
	if len(b) == 0 {
		return nil, f.refusal()
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (f *fakeSource) refusal() error {
	if f.refuses != nil {
		return f.refuses
	}
	return fmt.Errorf("not there: %w", ErrAbsent)
}

// run starts f and stops it with the test.
func run(t *testing.T, f *Filler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func result(t *testing.T, w *Wait) error {
	t.Helper()
	select {
	case <-w.Done():
		return w.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("the wait does not end")
		return nil
	}
}

// TestOneFetchForAll: sixteen who want two segments of one hole share a single fetch, which fills the
// hole and nothing beyond it.
func TestOneFetchForAll(t *testing.T) {
	store := &fakeStore{end: 20 * seg, have: map[lsn.LSN]bool{8 * seg: true}}
	src := &fakeSource{gate: make(chan struct{}), has: map[lsn.LSN]bool{}}
	for i := range lsn.LSN(20) {
		src.has[i*seg] = true
	}
	f := New(Options{Store: store, Sources: []Source{src}})
	stop := run(t, f)
	var waits []*Wait
	for i := range lsn.LSN(16) {
		waits = append(waits, f.Need(5*seg+i%2*seg+i))
	}
	close(src.gate)
	for _, w := range waits {
		if err := result(t, w); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if src.opened != 1 || src.runs[0] != (Run{Timeline: 1, Start: 5 * seg, End: 8 * seg}) {
		t.Fatalf("opened %d times: %v", src.opened, src.runs)
	}
	if st := f.Status(); st.Segments != 3 || st.Bytes != uint64(3*seg) || st.Waiting != 0 || st.Failed != 0 {
		t.Fatalf("%+v", st)
	}
}

// TestSourcesInTurn: what the first has not the second brings; what nobody has is answered from memory
// for a while, and who waits at the end is told.
func TestSourcesInTurn(t *testing.T) {
	store := &fakeStore{end: 20 * seg, have: map[lsn.LSN]bool{2 * seg: true, 4 * seg: true},
		damaged: map[lsn.LSN]bool{2 * seg: true}}
	primary := &fakeSource{has: map[lsn.LSN]bool{}}
	archive := &fakeSource{has: map[lsn.LSN]bool{2 * seg: true}}
	f := New(Options{Store: store, Sources: []Source{primary, archive}})
	stop := run(t, f)
	if err := result(t, f.Need(2*seg+5)); err != nil {
		t.Fatal(err)
	}
	if f.Status().Damaged != 1 || primary.opened != 1 || archive.opened != 1 {
		t.Fatalf("%+v, opened %d and %d times", f.Status(), primary.opened, archive.opened)
	}
	for range 5 {
		if err := result(t, f.Need(3*seg)); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "not there") {
			t.Fatal(err)
		}
	}
	if primary.opened != 2 || f.Status().Failed != 1 {
		t.Fatalf("asked %d times, %+v", primary.opened, f.Status())
	}
	if err := result(t, f.Need(20*seg)); !errors.Is(err, ErrUnwanted) {
		t.Fatal(err)
	}
	primary.gate = make(chan struct{})
	w := f.Need(0)
	stop()
	if err := result(t, w); err == nil {
		t.Fatal("a wait ended well although the filler was stopped")
	}
}

// TestSetSources: a source that is added later is asked at once, also for what was just refused.
func TestSetSources(t *testing.T) {
	store := &fakeStore{end: 20 * seg, have: map[lsn.LSN]bool{}}
	primary := &fakeSource{has: map[lsn.LSN]bool{}}
	f := New(Options{Store: store, Sources: []Source{primary}})
	defer run(t, f)()
	if err := result(t, f.Need(2*seg)); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	f.SetSources(primary, &fakeSource{has: map[lsn.LSN]bool{2 * seg: true}})
	if err := result(t, f.Need(2*seg)); err != nil {
		t.Fatal(err)
	}
}

func TestArchive(t *testing.T) {
	dir, archive := t.TempDir(), t.TempDir()
	id := walstore.Identity{System: 7, SegSize: lsn.MinSegSize, ServerMajor: 15}
	for i := range lsn.LSN(2) {
		name := filepath.Join(archive, id.SegSize.FileName(1, uint64(5+i)))
		if err := os.WriteFile(name, content((5+i)*seg), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &Archive{Command: "echo looking for %f at 100%% >&2; cp '" + archive + "/%f' '%p'", Dir: dir}
	wal, err := a.Open(t.Context(), id, Run{Timeline: 1, Start: 5 * seg, End: 8 * seg})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(wal)
	if err == nil || !bytes.Equal(got, append(content(5*seg), content(6*seg)...)) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if !strings.Contains(err.Error(), "looking for 000000010000000000000007 at 100%") {
		t.Errorf("the command's words are missing: %v", err)
	}
	if err := wal.Close(); err != nil {
		t.Fatal(err)
	}
	a.Command = "head -c 1000 '" + archive + "/%f' > '%p'"
	if _, err := a.Open(t.Context(), id, Run{Timeline: 1, Start: 5 * seg, End: 8 * seg}); err == nil {
		t.Error("a short file passed")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNoRoom: what is missing is not fetched while the volume is short, what is damaged is, and a fetch
// that uses the room up stops.
func TestNoRoom(t *testing.T) {
	store := &fakeStore{end: 20 * seg, have: map[lsn.LSN]bool{8 * seg: true}, damaged: map[lsn.LSN]bool{8 * seg: true}}
	src := &fakeSource{has: map[lsn.LSN]bool{}}
	for i := range lsn.LSN(20) {
		src.has[i*seg] = true
	}
	var room atomic.Int64
	f := New(Options{Store: store, Sources: []Source{src}, Room: func() (int64, bool) { return room.Load(), true }})
	stop := run(t, f)
	defer stop()
	if err := result(t, f.Need(5*seg)); !errors.Is(err, ErrNoRoom) || src.opened != 0 {
		t.Fatalf("%v, opened %d times", err, src.opened)
	}
	if err := result(t, f.Need(8*seg)); err != nil {
		t.Fatal(err)
	}
	room.Store(2 * int64(seg))
	if err := result(t, f.Need(2*seg)); err != nil {
		t.Fatal(err)
	}
}

// TestOnlyAnswersCount: WAL is available from nobody when each source has said so. One that could not be asked, or that
// refused for another reason, may have it.
func TestOnlyAnswersCount(t *testing.T) {
	removed := pgerror.New(pgerror.UndefinedFile, "requested WAL segment 000000010000000000000002 has already been removed")
	history := pgerror.New(pgerror.InternalError, "requested timeline 7 is not in this server's history")
	starting := pgerror.New(pgerror.InternalError,
		"requested starting point 0/9000000 is ahead of the WAL flush position of this server 0/8000000")
	internal := pgerror.New(pgerror.InternalError, "internal error in replproxy")
	for _, c := range []struct {
		say  []error
		want error
	}{
		{[]error{removed}, ErrUnavailable},
		{[]error{history, removed, ErrTimelineEnded, ErrAbsent}, ErrUnavailable},
		{[]error{removed, errNotConnected}, ErrUnanswered},
		{[]error{errBusy}, ErrUnanswered},
		{[]error{removed, starting}, ErrUnanswered},
		{[]error{internal, removed}, ErrUnanswered},
		{[]error{removed, pgerror.Fatal(pgerror.TooManyConnections, "sorry, too many clients already")}, ErrUnanswered},
		{[]error{removed, io.ErrUnexpectedEOF}, ErrUnanswered},
		{nil, ErrUnanswered},
	} {
		var sources []Source
		for _, err := range c.say {
			sources = append(sources, &fakeSource{has: map[lsn.LSN]bool{}, refuses: err})
		}
		f := New(Options{Store: &fakeStore{end: 20 * seg, have: map[lsn.LSN]bool{}}, Sources: sources})
		stop := run(t, f)
		if err := result(t, f.Need(2*seg)); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.say, err, c.want)
		}
		stop()
	}
	dir := t.TempDir()
	for command, want := range map[string]bool{"exit 1": true, "exit 125": true, "exit 126": false, "exit 255": false,
		"kill -9 $$": false, "true": false} {
		a := &Archive{Command: command, Dir: dir}
		_, err := a.Open(t.Context(), walstore.Identity{SegSize: lsn.MinSegSize}, Run{Timeline: 1, Start: seg, End: 2 * seg})
		if err == nil || Absent(err) != want {
			t.Errorf("%s: %v", command, err)
		}
	}
}
