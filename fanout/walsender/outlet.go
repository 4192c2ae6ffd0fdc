package walsender

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

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

// outlet writes to one standby. Writes are resumed after a deadline, which is how a blocked writer
// hears of time passing; once part of a frame is out, only the rest of it may follow. It belongs to the
// send loop and allocates nothing per message.
type outlet struct {
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

func newOutlet(conn net.Conn, arm, blocked func() error) *outlet {
	o := &outlet{conn: conn, arm: arm, blocked: blocked}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		o.resumable = true
	}
	o.file.init(conn)
	return o
}

// frame writes one small frame.
func (o *outlet) frame(typ byte, body []byte) error {
	o.vec[0] = wire.AppendFrame(o.small[:0], typ, body)
	o.bufs = o.vec[:1]
	return o.flush()
}

// wal writes one 'w' message.
func (o *outlet) wal(c Chunk, walEnd lsn.LSN, now copyboth.Time) error {
	head := wire.AppendHeader(o.head[:0], 'd', copyboth.XLogDataHeaderSize+c.Len())
	head = copyboth.XLogData{Start: c.Start, WALEnd: walEnd, SentAt: now}.AppendHeader(head)
	if !o.resumable {
		return o.whole(head, c)
	}
	if c.File != nil {
		return o.fromFile(head, c)
	}
	o.vec = [3][]byte{head, c.Mem[0], c.Mem[1]}
	o.bufs = o.vec[:]
	if len(c.Mem[1]) == 0 {
		o.bufs = o.vec[:2]
	}
	return o.flush()
}

// flush writes bufs to their end.
func (o *outlet) flush() error {
	for len(o.bufs) > 0 {
		if err := o.arm(); err != nil {
			return err
		}
		n, err := o.bufs.WriteTo(o.conn)
		o.partial = o.partial || n > 0
		if err == nil {
			break
		}
		if err := o.resume(err); err != nil {
			return err
		}
	}
	clear(o.vec[:]) // an idle sender does not hold WAL
	o.partial = false
	return nil
}

// resume decides about a failed write: nil to continue it.
func (o *outlet) resume(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return over("write to standby: %w", err)
	}
	if !o.resumable {
		return over("write to standby: %w", ErrTimeout)
	}
	return o.blocked()
}

// fromFile writes one chunk that lies in a file: the header, then the bytes by sendfile where the
// connection is a socket.
func (o *outlet) fromFile(head []byte, c Chunk) error {
	if !o.file.begin(head, c) {
		return o.whole(head, c)
	}
	for !o.file.finished() {
		if err := o.arm(); err != nil {
			return err
		}
		err := o.file.write()
		o.partial = o.partial || o.file.started()
		if err == nil {
			continue
		}
		if err := o.resume(err); err != nil {
			return err
		}
	}
	o.partial = false
	return nil
}

// whole puts the message together and writes it at once: TLS makes at least one record of each write.
func (o *outlet) whole(head []byte, c Chunk) error {
	if o.copyBuf == nil {
		o.copyBuf = make([]byte, 0, frameHeader+maxPayload)
	}
	b := append(append(append(o.copyBuf[:0], head...), c.Mem[0]...), c.Mem[1]...)
	if c.File != nil {
		b = b[:len(head)+c.Len()]
		if n, err := c.File.ReadAt(b[len(head):], c.Offset); n < c.Len() {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read WAL at %s: %w", c.Start+lsn.LSN(n), err)
		}
	}
	o.vec[0] = b
	o.bufs = o.vec[:1]
	return o.flush()
}

// deadline is when a write that begins now is interrupted to ask the core. A connection that cannot be
// resumed gets the whole time at once.
func (o *outlet) deadline(now time.Time, timeout time.Duration) time.Time {
	switch {
	case o.resumable:
		return now.Add(writeTick)
	case timeout > 0:
		return now.Add(timeout)
	}
	return now.Add(silentMax)
}
