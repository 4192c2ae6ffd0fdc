package walsender

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// maxPayload is MAX_SEND_SIZE: 16 WAL pages of data per message (facts E4).
	maxPayload = 16 * lsn.PageSize
	// frameHeader is CopyData's type and length and the header of 'w'.
	frameHeader = 5 + copyboth.XLogDataHeaderSize
)

// frameWriter writes to one standby. Writes are resumed after a deadline, which is how a blocked writer
// hears of time passing; once part of a frame is out, only the rest of it may follow. It belongs to the
// send loop and allocates nothing per message.
type frameWriter struct {
	conn      net.Conn
	arm       func() error // sets the next write deadline, or says why not to write
	blocked   func() error // the deadline passed: nil to go on
	resumable bool         // a write that hit its deadline can be continued: not so in TLS or a link
	partial   bool         // part of a frame is out

	vec     [3][]byte // backing of bufs; writev eats its slice
	bufs    net.Buffers
	head    [frameHeader]byte
	small   [64]byte // keepalive, CopyDone and the like
	file    fileWriter
	copyBuf []byte // a whole message, for a connection that is no socket
}

func newFrameWriter(conn net.Conn, arm, blocked func() error) *frameWriter {
	w := &frameWriter{conn: conn, arm: arm, blocked: blocked}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		w.resumable = true
	}
	w.file.init(conn)
	return w
}

// frame writes one small frame.
func (w *frameWriter) frame(typ byte, body []byte) error {
	w.vec[0] = wire.AppendFrame(w.small[:0], typ, body)
	w.bufs = w.vec[:1]
	return w.flush()
}

// wal writes one 'w' message.
func (w *frameWriter) wal(c *walstore.Chunk, walEnd lsn.LSN, now copyboth.Time) error {
	head := wire.AppendHeader(w.head[:0], 'd', copyboth.XLogDataHeaderSize+c.Len())
	head = copyboth.XLogData{Start: c.Start, WALEnd: walEnd, SentAt: now}.AppendHeader(head)
	if !w.resumable {
		return w.whole(head, c)
	}
	if c.File != nil {
		return w.fromFile(head, c)
	}
	w.vec = [3][]byte{head, c.Mem[0], c.Mem[1]}
	w.bufs = w.vec[:]
	if len(c.Mem[1]) == 0 {
		w.bufs = w.vec[:2]
	}
	return w.flush()
}

// flush writes bufs to their end. It blocks until the socket has taken them, or the standby's time is over. After an
// error a part of a message may be on its way: the session is over.
func (w *frameWriter) flush() error {
	for len(w.bufs) > 0 {
		if err := w.arm(); err != nil {
			return err
		}
		n, err := w.bufs.WriteTo(w.conn)
		w.partial = w.partial || n > 0
		if err == nil {
			break
		}
		if err := w.resume(err); err != nil {
			return err
		}
	}
	clear(w.vec[:]) // an idle sender does not hold WAL
	w.partial = false
	return nil
}

// resume decides about a failed write: nil to continue it.
func (w *frameWriter) resume(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return over("write to standby: %w", err)
	}
	if !w.resumable {
		return over("write to standby: %w", ErrTimeout)
	}
	return w.blocked()
}

// fromFile writes one chunk that lies in a file: the header, then the bytes by sendfile where the
// connection is a socket.
func (w *frameWriter) fromFile(head []byte, c *walstore.Chunk) error {
	if !w.file.begin(head, c) {
		return w.whole(head, c)
	}
	for !w.file.finished() {
		if err := w.arm(); err != nil {
			return err
		}
		err := w.file.write()
		w.partial = w.partial || w.file.started()
		if err == nil {
			continue
		}
		if err := w.resume(err); err != nil {
			return err
		}
	}
	w.partial = false
	return nil
}

// whole puts the message together and writes it at once: TLS makes at least one record of each write.
func (w *frameWriter) whole(head []byte, c *walstore.Chunk) error {
	if w.copyBuf == nil {
		w.copyBuf = make([]byte, 0, frameHeader+maxPayload)
	}
	b := append(append(append(w.copyBuf[:0], head...), c.Mem[0]...), c.Mem[1]...)
	if c.File != nil {
		b = b[:len(head)+c.Len()]
		if n, err := c.File.ReadAt(b[len(head):], c.FileOffset); n < c.Len() {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read WAL at %s: %w", c.Start+lsn.LSN(n), err)
		}
	}
	w.vec[0] = b
	w.bufs = w.vec[:1]
	return w.flush()
}

// deadline returns the time at which a write that begins now is interrupted to ask the core. A connection that cannot
// be resumed gets the whole time at once.
func (w *frameWriter) deadline(now time.Time, timeout time.Duration) time.Time {
	switch {
	case w.resumable:
		return now.Add(writeTick)
	case timeout > 0:
		return now.Add(timeout)
	}
	return now.Add(silentMax)
}
