package walsender

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore holds the WAL [base, base+len(wal)) in memory or in one file.
type fakeStore struct {
	base lsn.LSN
	wal  []byte
	file *os.File // nil: memory

	mu       sync.Mutex
	history  lsn.History
	received lsn.LSN
	watchers walstore.Watchers
	readers  int
	fail     error // of the next Next
}

func newFakeStore(t testing.TB, base lsn.LSN, size int) *fakeStore {
	s := &fakeStore{base: base, wal: make([]byte, size), history: lsn.History{Timeline: 1}, received: base}
	for i := 0; i+8 <= size; i += 8 { // every word says where it belongs
		binary.BigEndian.PutUint64(s.wal[i:], uint64(base)+uint64(i))
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.readers != 0 || s.watchers.Len() != 0 {
			t.Errorf("%d readers and %d watchers are left open", s.readers, s.watchers.Len())
		}
	})
	return s
}

// onDisk serves the same WAL from a file.
func (s *fakeStore) onDisk(t testing.TB) *fakeStore {
	name := filepath.Join(t.TempDir(), "wal")
	if err := os.WriteFile(name, s.wal, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s.file = f
	return s
}

func (s *fakeStore) receive(end lsn.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = end
	s.nudge()
}

// fork leaves the current timeline at at.
func (s *fakeStore) fork(at lsn.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Parents = append(slices.Clone(s.history.Parents), lsn.HistoryEntry{Timeline: s.history.Timeline, Switch: at})
	s.history.Timeline++
	s.received = max(at, s.received)
	s.nudge()
}

func (s *fakeStore) nudge() { s.watchers.Nudge(walstore.MovedReceived) }

func (s *fakeStore) Served() walstore.Served {
	s.mu.Lock()
	defer s.mu.Unlock()
	return walstore.Served{Timeline: s.history.Timeline, End: s.received}
}

func (s *fakeStore) History() lsn.History {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history
}

func (s *fakeStore) Watch(m walstore.Mask) *walstore.Watcher { return s.watchers.Add(m) }

type fakeReader struct {
	s  *fakeStore
	at lsn.LSN
}

func (s *fakeStore) NewReader(_ lsn.TimelineID, at lsn.LSN) (Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	s.readers++
	return &fakeReader{s, at}, nil
}

func (r *fakeReader) Next(limit lsn.LSN, max int) (walstore.Chunk, error) {
	end := min(limit, r.at+lsn.LSN(max))
	if end < limit {
		end = end.PageStart()
	}
	c := walstore.Chunk{Start: r.at, End: end}
	off := int(r.at - r.s.base)
	if r.s.file != nil {
		c.File, c.FileOffset = &vfs.OSFile{File: r.s.file}, int64(off)
	} else {
		half := c.Len() / 2 // two slices, as at the edge of the store's blocks
		c.Mem[0], c.Mem[1] = r.s.wal[off:off+half], r.s.wal[off+half:off+c.Len()]
	}
	r.at = end
	return c, nil
}

func (r *fakeReader) Close() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.readers--
}

// standby is a scripted walreceiver: the client's end of a connection that a Sender serves.
type standby struct {
	t      testing.TB
	conn   net.Conn
	frames *wire.Reader
	store  *fakeStore
	sender *Sender
	cancel context.CancelCauseFunc
	done   chan struct{}
	next   *NextTimeline
	err    error
	at     lsn.LSN // next byte expected
}

type setup struct {
	plan    Plan
	timeout time.Duration
	slot    Slot
	votes   *recorder
	judge   func(lsn.Progress) error
	conns   func(t testing.TB) (server, client net.Conn)
}

// attachAtBase attaches a standby that streams timeline 1 from base on, over TCP, with a minute of wal_sender_timeout.
func attachAtBase(t testing.TB, store *fakeStore) *standby {
	t.Helper()
	return attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute})
}

// attach starts a sender and reads its CopyBothResponse.
func attach(t testing.TB, store *fakeStore, su setup) *standby {
	t.Helper()
	if su.conns == nil {
		su.conns = tcpPair
	}
	server, client := su.conns(t)
	o := Options{
		Conn:    Conn{Net: server, Frames: wire.NewReader(server, 4096)},
		Session: Session{PID: 7, WalSenderTimeout: su.timeout},
		Store:   store, Open: store.NewReader, Plan: su.plan, SegSize: lsn.DefaultSegSize, Slot: su.slot, Judge: su.judge,
		DrainTimeout: 2 * time.Second,
	}
	if su.votes != nil {
		o.Voter, o.Feedback = su.votes, su.votes.heard
	}
	s := New(o)
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &standby{
		t: t, conn: client, frames: wire.NewReader(client, 256<<10), store: store, sender: s,
		cancel: cancel, done: make(chan struct{}), at: su.plan.Start,
	}
	go func() {
		defer close(c.done)
		c.next, c.err = s.Run(ctx)
		if errors.Is(c.err, ErrSessionOver) {
			server.Close()
		}
	}()
	t.Cleanup(func() {
		cancel(errors.New("test over"))
		client.Close()
		<-c.done
		server.Close()
	})
	return c
}

func tcpPair(t testing.TB) (server, client net.Conn) { return socketPair(t, "tcp", "127.0.0.1:0") }

func unixPair(t testing.TB) (server, client net.Conn) {
	return socketPair(t, "unix", filepath.Join(t.TempDir(), "s"))
}

func pipePair(testing.TB) (server, client net.Conn) { return net.Pipe() }

func socketPair(t testing.TB, network, addr string) (server, client net.Conn) {
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

// patience bounds every step of a script.
const patience = time.Minute

// read is the next frame as one line of a transcript. WAL is checked byte by byte.
func (c *standby) read() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	h, err := c.frames.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return "EOF"
		}
		c.t.Fatalf("read: %v", err)
	}
	body, err := c.frames.Body(h.Size, 1<<20)
	if err != nil {
		c.t.Fatalf("read %c: %v", h.Type, err)
	}
	if h.Type != 'd' {
		return fmt.Sprintf("%c %q", h.Type, body)
	}
	switch body[0] {
	case 'w':
		m, err := copyboth.DecodeXLogData(body)
		if err != nil {
			c.t.Fatal(err)
		}
		c.check(m)
		return fmt.Sprintf("w %s +%d end %s", m.Start, len(m.Data), m.WALEnd)
	case 'k':
		m, err := copyboth.DecodePrimaryKeepalive(body)
		if err != nil {
			c.t.Fatal(err)
		}
		return fmt.Sprintf("k %s %v", m.WALEnd, m.ReplyRequested)
	}
	c.t.Fatalf("unknown message %q", body[0])
	return ""
}

func (c *standby) check(m copyboth.XLogData) {
	c.t.Helper()
	if m.Start != c.at {
		c.t.Fatalf("message at %s, expected %s", m.Start, c.at)
	}
	off := int(m.Start - c.store.base)
	if string(m.Data) != string(c.store.wal[off:off+len(m.Data)]) {
		c.t.Fatalf("WAL at %s differs", m.Start)
	}
	c.at += lsn.LSN(len(m.Data))
}

// expect reads one frame per line.
func (c *standby) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.read(); got != want {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// until reads WAL up to end, however it is cut.
func (c *standby) until(end lsn.LSN) {
	c.t.Helper()
	for c.at < end {
		if got := c.read(); got == "EOF" || got[0] == 'c' || got[0] == 'C' {
			c.t.Fatalf("%s at %s, expected WAL up to %s", got, c.at, end)
		}
	}
}

func (c *standby) write(typ byte, body []byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(wire.AppendFrame(nil, typ, body)); err != nil {
		c.t.Fatalf("write %c: %v", typ, err)
	}
}

func (c *standby) reply(w, f, a lsn.LSN, ask bool) {
	c.t.Helper()
	c.write('d', copyboth.StatusUpdate{Progress: lsn.Progress{Write: w, Flush: f, Apply: a}, ReplyRequested: ask}.Append(nil))
}

// ended waits for Run.
func (c *standby) ended() error {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatal("the sender does not end")
	}
	return c.err
}

// wait polls for something that another goroutine does soon.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out: %s", what)
		}
	}
}
