package walsource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// walsender is a scripted upstream: it answers commands like a server and leaves COPY to the test.
type walsender struct {
	t        *testing.T
	answers  map[string][]byte // by command prefix; overrides the defaults
	mu       sync.Mutex
	commands []string
	copies   chan *copyConn // one per START_REPLICATION that entered COPY
	config   *upstream.Config
	pid      uint32 // of each session
}

type copyConn struct {
	net.Conn
	t *testing.T
	r *wire.Reader
}

const (
	fakeSystem = "7000000000000000001"
	fakeSeg    = lsn.LSN(16 << 20)
)

func newWalsender(t *testing.T, answers map[string][]byte) *walsender {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &walsender{t: t, answers: answers, copies: make(chan *copyConn, 10)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.serve(c)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
		close(w.copies)
		for c := range w.copies {
			c.Close()
		}
	})
	t.Setenv("HOME", t.TempDir())
	port := ln.Addr().(*net.TCPAddr).Port
	if w.config, err = upstream.Parse(fmt.Sprintf("host=127.0.0.1 port=%d user=u sslmode=disable", port)); err != nil {
		t.Fatal(err)
	}
	return w
}

// answerNext answers the next command. copies: COPY begins. ok false: no command came.
func (w *walsender) answerNext(c net.Conn, r *wire.Reader) (copies, ok bool) {
	h, err := r.Next()
	if err != nil || h.Type != 'Q' {
		return false, false
	}
	body, err := r.Body(h.Size, 1<<16)
	if err != nil {
		return false, false
	}
	command := strings.TrimSuffix(string(body), "\x00")
	w.mu.Lock()
	w.commands = append(w.commands, command)
	answer := w.answer(command)
	w.mu.Unlock()
	c.Write(answer)
	return answer[0] == 'W', true
}

func (w *walsender) serve(c net.Conn) {
	c.SetDeadline(time.Now().Add(realWait))
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.Close()
		return
	}
	io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])-4))
	b := wire.AppendFrame(nil, 'R', make([]byte, 4))
	b = wire.AppendFrame(b, 'S', []byte("server_version\x0015.20\x00"))
	c.Write(ready(wire.AppendFrame(b, 'K', binary.BigEndian.AppendUint64(nil, uint64(w.pid)<<32))))
	r := wire.NewReader(c, 4096)
	for {
		copies, ok := w.answerNext(c, r)
		if !ok {
			c.Close()
			return
		}
		if copies {
			w.copies <- &copyConn{c, w.t, r}
			return
		}
	}
}

func (w *walsender) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.commands...)
}

func (w *walsender) answer(command string) []byte {
	for prefix, a := range w.answers {
		if strings.HasPrefix(command, prefix) {
			return a
		}
	}
	switch {
	case command == "IDENTIFY_SYSTEM":
		return ready(row("IDENTIFY_SYSTEM", fakeSystem, "1", "0/1000100", ""))
	case command == "SHOW wal_segment_size":
		return ready(row("SHOW", "16MB"))
	case command == "SHOW server_version_num":
		return ready(row("SHOW", "150020"))
	case strings.HasPrefix(command, "SHOW"):
		return ready(fail("ERROR", "42704", "unrecognized configuration parameter"))
	case strings.HasPrefix(command, "START_REPLICATION"):
		return wire.AppendFrame(nil, 'W', []byte{0, 0, 0})
	}
	return ready(fail("ERROR", "42601", "syntax error"))
}

func ready(b []byte) []byte { return wire.AppendFrame(b, 'Z', []byte{'I'}) }

func fail(severity, code, message string) []byte {
	return wire.AppendFrame(nil, 'E', []byte("S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+message+"\x00\x00"))
}

// row is a one-row answer; a value "NULL" is NULL.
func row(tag string, values ...string) []byte {
	t := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	d := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		t = append(append(t, "c\x00"...), make([]byte, 18)...)
		if v == "NULL" {
			d = binary.BigEndian.AppendUint32(d, 0xffffffff)
			continue
		}
		d = append(binary.BigEndian.AppendUint32(d, uint32(len(v))), v...)
	}
	b := wire.AppendFrame(wire.AppendFrame(nil, 'T', t), 'D', d)
	return wire.AppendFrame(b, 'C', []byte(tag+"\x00"))
}

func xlog(start lsn.LSN, data string) []byte {
	m := copyboth.XLogData{Start: start, WALEnd: start + lsn.LSN(len(data))}
	return wire.AppendFrame(nil, 'd', append(m.AppendHeader(nil), data...))
}

func keepalive(end lsn.LSN, reply bool) []byte {
	return wire.AppendFrame(nil, 'd', copyboth.PrimaryKeepalive{WALEnd: end, ReplyRequested: reply}.Append(nil))
}

func (c *copyConn) send(b ...[]byte) {
	c.t.Helper()
	for _, p := range b {
		if _, err := c.Write(p); err != nil {
			c.t.Error(err)
		}
	}
}

// next is the next frame from the receiver: 'r' or 'h' payload, or the type of another one.
func (c *copyConn) next() (typ byte, body []byte) {
	c.t.Helper()
	h, err := c.r.Next()
	if err != nil {
		return 0, nil
	}
	b, err := c.r.Body(h.Size, 1<<16)
	if err != nil {
		c.t.Fatal(err)
	}
	if h.Type == 'd' {
		return b[0], b
	}
	return h.Type, b
}

// report waits for the next status update.
func (c *copyConn) report() copyboth.StatusUpdate {
	c.t.Helper()
	for {
		typ, b := c.next()
		switch typ {
		case 'r':
			u, err := copyboth.DecodeStatusUpdate(b)
			if err != nil {
				c.t.Fatal(err)
			}
			return u
		case 0:
			c.t.Fatal("the receiver left")
		}
	}
}

// awaitFlush reads reports until one has flush.
func (c *copyConn) awaitFlush(flush lsn.LSN) copyboth.StatusUpdate {
	c.t.Helper()
	for {
		if u := c.report(); u.Flush >= flush {
			if u.Flush > flush || u.Write < flush || u.Apply != 0 {
				c.t.Fatalf("reported %+v, expected flush %s", u, flush)
			}
			return u
		}
	}
}

// running is a Supply at work.
type running struct {
	*Supply
	t    *testing.T
	stop func() error
}

func start(t *testing.T, w *walsender, m *memStore, set func(*Options)) *running {
	t.Helper()
	o := Options{Upstream: w.config, Name: "px", Store: m, Rand: func() float64 { return 0 }}
	o.Quorum = newRule(free())
	if set != nil {
		set(&o)
	}
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	m.OnMoved(r.Reporter())
	return run(t, r)
}

// with returns a Supply that is asked and does not run.
func with(t *testing.T, o Options) *Supply {
	t.Helper()
	r := &Supply{o: alone(o), log: slog.New(slog.DiscardHandler), attempt: &attempt{}}
	var err error
	if r.rcv, err = walreceiver.New(walreceiver.Options{Store: o.Store, Quorum: newRule(free())}); err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t *testing.T, r *Supply) *running {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	x := &running{Supply: r, t: t}
	x.stop = func() (err error) {
		once.Do(func() {
			cancel(errors.New("test is over"))
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { x.stop() })
	return x
}

// await polls until the status is as wanted; there is no channel for it.
func (x *running) await(what string, ok func(Status) bool) Status {
	x.t.Helper()
	deadline := time.After(realWait)
	for {
		s := x.Status()
		if ok(s) {
			return s
		}
		select {
		case <-deadline:
			x.t.Fatalf("%s did not happen: %+v", what, s)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
