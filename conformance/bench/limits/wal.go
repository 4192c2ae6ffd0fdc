package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// message is the WAL in one message, as of PostgreSQL's walsender.
const message = 128 << 10

// buffer holds one frame of an upstream, whose messages are at most that of a walsender and its header.
const buffer = 256 << 10

// frameHeader has the type and the size of a frame.
const frameHeader = 5

// WAL sends WAL to whoever asks. It has old WAL, or an upstream, or both.
type WAL struct {
	Start, End lsn.LSN  // of the old WAL; Start begins a segment
	Segments   []string // its files
	Upstream   net.Conn // streams; nil: there is no live WAL

	mapped [][]byte
	mu     sync.Mutex
	live   map[net.Conn]bool
}

// Serve accepts connections until ctx ends or the upstream does.
func (w *WAL) Serve(ctx context.Context, l net.Listener) error {
	w.live = map[net.Conn]bool{}
	for _, path := range w.Segments {
		m, err := mapFile(path)
		if err != nil {
			return err
		}
		w.mapped = append(w.mapped, m)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	context.AfterFunc(ctx, func() { l.Close() })
	if w.Upstream != nil {
		go func() { cancel(w.follow()) }()
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return context.Cause(ctx)
		}
		go func() {
			_ = w.serve(c)
			w.leave(c)
		}()
	}
}

// mapFile maps a file, with all its pages at once.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, int(lsn.DefaultSegSize), syscall.PROT_READ, syscall.MAP_SHARED|mapNow)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return m, nil
}

// serve answers a standby's commands, streams what it asks for, and then drains its replies.
func (w *WAL) serve(c net.Conn) error {
	r := wire.NewReader(c, 4<<10)
	if err := greet(c, r); err != nil {
		return err
	}
	for {
		h, err := r.Next()
		if err != nil {
			return err
		}
		body, err := r.Body(h.Size, buffer)
		if err != nil {
			return err
		}
		command := strings.TrimRight(string(body), "\x00")
		if !strings.HasPrefix(command, "START_REPLICATION") {
			if _, err := c.Write(identity()); err != nil {
				return err
			}
			continue
		}
		fields := strings.Fields(command)
		at, err := lsn.Parse(fields[len(fields)-1])
		if err != nil {
			return err
		}
		if _, err := c.Write(wire.AppendFrame(nil, 'W', []byte{0, 0, 0})); err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() { sent <- w.send(c, at) }()
		_, err = io.Copy(io.Discard, r)
		c.Close()
		return errors.Join(err, <-sent)
	}
}

// send sends the old WAL from a position on, and then the connection takes part in what is live.
func (w *WAL) send(c net.Conn, at lsn.LSN) error {
	head := make([]byte, 0, 64)
	var parts [2][]byte
	for ; at >= w.Start && at < w.End; at += lsn.LSN(len(parts[1])) {
		segment := w.mapped[(at-w.Start)/lsn.LSN(lsn.DefaultSegSize)]
		from := int(at % lsn.LSN(lsn.DefaultSegSize))
		n := min(message, int(w.End-at), len(segment)-from)
		head = wire.AppendHeader(head[:0], 'd', copyboth.XLogDataHeaderSize+n)
		head = copyboth.XLogData{Start: at, WALEnd: w.End, SentAt: copyboth.TimeOf(time.Now())}.AppendHeader(head)
		parts[0], parts[1] = head, segment[from:from+n]
		v := net.Buffers{parts[0], parts[1]}
		if _, err := v.WriteTo(c); err != nil {
			return err
		}
	}
	if w.Upstream != nil {
		w.mu.Lock()
		w.live[c] = true
		w.mu.Unlock()
	}
	return nil
}

func (w *WAL) leave(c net.Conn) {
	w.mu.Lock()
	delete(w.live, c)
	w.mu.Unlock()
	c.Close()
}

// follow writes each frame of the upstream to all connections, one after the other.
func (w *WAL) follow() error {
	r := wire.NewReader(w.Upstream, buffer)
	frame := make([]byte, buffer)
	for {
		h, err := r.Next()
		if err != nil {
			return fmt.Errorf("read the upstream: %w", err)
		}
		if h.Type != 'd' {
			if err := r.Discard(h.Size); err != nil {
				return err
			}
			continue
		}
		all := wire.AppendHeader(frame[:0], h.Type, h.Size)
		all = all[:len(all)+h.Size]
		if _, err := io.ReadFull(r, all[len(all)-h.Size:]); err != nil {
			return err
		}
		w.mu.Lock()
		for c := range w.live {
			if _, err := c.Write(all); err != nil {
				delete(w.live, c)
			}
		}
		w.mu.Unlock()
		if r.Buffered() == 0 {
			if err := w.confirm(all); err != nil {
				return err
			}
		}
	}
}

// confirm tells the upstream that all is flushed up to the end of a frame of the stream.
func (w *WAL) confirm(frame []byte) error {
	m, err := copyboth.DecodeXLogData(frame[frameHeader:])
	if err != nil {
		return nil // a keepalive
	}
	at := m.Start + lsn.LSN(len(m.Data))
	p := lsn.Progress{Write: at, Flush: at, Apply: at}
	reply := copyboth.StatusUpdate{Progress: p, SentAt: copyboth.TimeOf(time.Now())}
	_, err = w.Upstream.Write(wire.AppendFrame(nil, 'd', reply.Append(nil)))
	return err
}
