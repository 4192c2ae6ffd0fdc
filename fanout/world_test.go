package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testSeg keeps the files small.
const testSeg = lsn.MinSegSize

// patience bounds every step of a script.
const patience = time.Minute

// world is a hub over a real store in a temporary directory, which a test fills.
type world struct {
	t     testing.TB
	dir   string
	store *walstore.Store
	slots *slot.Table
	hub   *Hub
	gen   *walstoretest.Generator
	end   lsn.LSN
	acks  *ackLog
	stop  []func()
	keep  int64 // KeepSize of the store
	tail  int64 // TailSize of the store
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	return newWorldKeeping(t, 1<<30, change)
}

// newWorldKeeping makes a world whose store keeps that much WAL although nobody needs it.
func newWorldKeeping(t testing.TB, keep int64, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), acks: &ackLog{}, keep: keep, tail: walstore.MinTailSize}
	w.gen = walstoretest.New(walstoretest.Config{SegSize: testSeg, Start: 0x3000000})
	w.end = w.gen.Start()
	w.start(change)
	t.Cleanup(w.shutdown)
	return w
}

func (w *world) start(change func(*Options)) {
	w.t.Helper()
	var err error
	if w.store, err = walstore.Open(w.t.Context(), walstore.Options{
		Dir: w.dir, TailSize: w.tail, KeepSize: w.keep,
	}); err != nil {
		w.t.Fatal(err)
	}
	if w.slots, err = slot.Open(filepath.Join(w.dir, "slots"), slot.Options{Max: 8}); err != nil {
		w.t.Fatal(err)
	}
	o := Options{
		Store: w.store, Slots: w.slots, Voter: w.acks.attach, DrainTimeout: patience,
		FeedbackSettle: time.Nanosecond, PersistInterval: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	w.hub = New(o)
	w.run(w.store.Run)
	w.run(w.hub.Run)
}

// restart ends everything and starts it anew.
func (w *world) restart() *world {
	w.t.Helper()
	w.shutdown()
	w.start(nil)
	return w
}

// run starts a part; shutdown ends it after those that were started later.
func (w *world) run(f func(context.Context) error) {
	over := errors.New("test over")
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	w.stop = append(w.stop, func() {
		cancel(over)
		if err := <-done; err != nil && !errors.Is(err, over) && !errors.Is(err, context.Canceled) {
			w.t.Errorf("ended with %v", err)
		}
	})
}

func (w *world) shutdown() {
	for len(w.stop) > 0 {
		w.stop[len(w.stop)-1]()
		w.stop = w.stop[:len(w.stop)-1]
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

// adopt begins the first stream.
func (w *world) adopt() *world {
	w.t.Helper()
	src := w.gen.Source
	w.must(w.store.Adopt(walstore.Identity{System: src.System, SegSize: src.SegSize, ServerMajor: src.Major}))
	w.must(w.store.StartStream(w.gen.Timeline(), w.gen.Start()))
	return w
}

// grow makes n more bytes of WAL and streams them into the store as an upstream would.
func (w *world) grow(n int) *world {
	w.t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(w.end), 1))
	w.gen.Fill(w.end+lsn.LSN(n), rnd)
	return w.deliver(rnd)
}

// page streams one page more, as one message.
func (w *world) page() {
	for w.gen.End() < w.end+lsn.PageSize {
		w.gen.Record(1 << 20)
	}
	m := w.gen.Bytes(w.end, w.end+lsn.PageSize)
	w.must(w.store.AppendFrom(context.Background(), w.end, bytes.NewReader(m), len(m)))
	w.end += lsn.PageSize
}

func (w *world) deliver(rnd *rand.Rand) *world {
	w.t.Helper()
	for _, m := range w.gen.Messages(w.end, rnd) {
		w.must(w.store.AppendFrom(w.t.Context(), m.At, bytes.NewReader(m.Data), len(m.Data)))
		w.end = m.End()
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// ackLog is everybody's Voter.
type ackLog struct {
	mu   sync.Mutex
	acks []namedAck
	gone []string
}

type namedAck struct {
	lsn.Progress
	Sent lsn.LSN
	Name string
}

func (l *ackLog) attach(name string) Voter { return loggedVoter{l, name} }
func (l *ackLog) all() []namedAck          { l.mu.Lock(); defer l.mu.Unlock(); return slices.Clone(l.acks) }

type loggedVoter struct {
	l    *ackLog
	name string
}

func (v loggedVoter) Report(_ time.Time, _ lsn.TimelineID, sent lsn.LSN, said lsn.Progress, _ bool) {
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	v.l.acks = append(v.l.acks, namedAck{said, sent, v.name})
}

func (v loggedVoter) Counts() bool                     { return false }
func (v loggedVoter) Doubted(_, _ time.Time, _ string) {}
func (v loggedVoter) State() (string, int)             { return "quorum", 1 }
func (v loggedVoter) Release() {
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	v.l.gone = append(v.l.gone, v.name)
}

// standby is a scripted walreceiver inside START_REPLICATION.
type standby struct {
	w      *world
	conn   net.Conn
	frames *wire.Reader
	cancel context.CancelCauseFunc
	done   chan struct{}
	next   *NextTimeline
	err    error
	at     lsn.LSN
}

func (w *world) standby(pid int32, r StartRequest) *standby {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	w.must(err)
	server, err := l.Accept()
	w.must(err)
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &standby{
		w: w, conn: client, frames: wire.NewReader(client, 64<<10), cancel: cancel,
		done: make(chan struct{}), at: r.At,
	}
	who := SessionInfo{PID: pid, ApplicationName: fmt.Sprintf("standby_%d", pid), WalSenderTimeout: time.Minute}
	go func() {
		defer close(s.done)
		defer server.Close()
		s.next, s.err = w.hub.StartReplication(ctx, r, who, Conn{Net: server, Frames: wire.NewReader(server, 4096)})
	}()
	w.t.Cleanup(s.leave)
	return s
}

// leave goes without a word and waits until that was noticed.
func (s *standby) leave() {
	s.conn.Close()
	<-s.done
}

// read gives the next frame: its type and body, or for WAL only how far it went. It checks WAL
// against the generator byte by byte.
func (s *standby) read() string {
	s.w.t.Helper()
	s.conn.SetReadDeadline(time.Now().Add(patience))
	h, err := s.frames.Next()
	if errors.Is(err, io.EOF) {
		return "EOF"
	}
	s.w.must(err)
	body, err := s.frames.Body(h.Size, 1<<20)
	s.w.must(err)
	if h.Type != 'd' {
		return fmt.Sprintf("%c %q", h.Type, body)
	}
	if k, err := copyboth.DecodePrimaryKeepalive(body); err == nil {
		return fmt.Sprintf("k %v", k.ReplyRequested)
	}
	m, err := copyboth.DecodeXLogData(body)
	s.w.must(err)
	end := m.Start + lsn.LSN(len(m.Data))
	if m.Start != s.at || end > m.WALEnd {
		s.w.t.Fatalf("message %s to %s with WAL end %s, expected one at %s", m.Start, end, m.WALEnd, s.at)
	}
	if !bytes.Equal(m.Data, s.w.gen.Bytes(m.Start, end)) {
		s.w.t.Fatalf("WAL at %s differs", m.Start)
	}
	s.at = end
	return "w"
}

func (s *standby) expect(lines ...string) {
	s.w.t.Helper()
	for _, want := range lines {
		if got := s.read(); got != want {
			s.w.t.Fatalf("got %s, expected %s", got, want)
		}
	}
}

func (s *standby) until(end lsn.LSN) {
	s.w.t.Helper()
	for s.at < end {
		if got := s.read(); got == "EOF" || got[0] == 'c' || got[0] == 'C' {
			s.w.t.Fatalf("%s at %s, expected WAL up to %s", got, s.at, end)
		}
	}
}

func (s *standby) write(typ byte, body []byte) {
	s.w.t.Helper()
	_, err := s.conn.Write(wire.AppendFrame(nil, typ, body))
	s.w.must(err)
}

func (s *standby) reply(pos lsn.LSN) {
	s.w.t.Helper()
	s.write('d', copyboth.StatusUpdate{Progress: lsn.Progress{Write: pos, Flush: pos, Apply: pos}}.Append(nil))
}

func (s *standby) feedback(xmin, catalog copyboth.FullXID) {
	s.w.t.Helper()
	s.write('d', copyboth.HotStandbyFeedback{Xmin: xmin, CatalogXmin: catalog}.Append(nil))
}

func (s *standby) ended() error {
	s.w.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.w.t.Fatal("StartReplication does not return")
	}
	return s.err
}

// waitFor polls for something that another goroutine does soon.
func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("timed out: %s", what)
		}
	}
}

const copyBoth = `W "\x00\x00\x00"`

// readSlot reads a slot as a client does that may read it.
func (w *world) readSlot(name string) (SlotState, bool) {
	w.t.Helper()
	st, ok, err := w.hub.ReadSlot(w.t.Context(), name)
	if err != nil {
		w.t.Errorf("read slot %s: %v", name, err)
	}
	return st, ok
}
