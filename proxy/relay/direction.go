package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// copyBuffer is the size of one read, in bytes: the longest record of TLS.
	copyBuffer = 16 << 10
	// quietBuffer is the size of a direction's buffer while little comes: an ordinary statement or a row.
	quietBuffer = 512
	// bulkRead keeps a direction at whole buffers: the server fills records of 8 kB while it has more.
	bulkRead = 4 << 10
)

// buffers is a pool of buffers of copyBuffer bytes. A direction takes one while much comes, and makes do with
// quietBuffer otherwise.
type buffers struct{ sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}}
}

// direction copies from src to dst and passes the end on.
type direction struct {
	src, dst net.Conn
	from     Side // whose connection src is
	count    *atomic.Int64
	buffers  *buffers
	ended    func(Side) // see Options.OnEnd
}

// begin passes on the bytes that the log-in read ahead of src.
func (d *direction) begin(src *leg) error {
	n, err := src.flush(d.dst)
	d.count.Add(int64(n))
	if err != nil {
		return d.writeError(err)
	}
	return nil
}

// run copies until src ends, then ends dst's reading side. A dst that is already gone is no error:
// both are over.
func (d *direction) run() error {
	if err := d.copyPlain(); err != nil {
		return err
	}
	d.ended(d.from)
	if err := closeWrite(d.dst); err != nil && !gone(err) {
		return d.writeError(err)
	}
	return nil
}

// copyPlain copies through memory: connections that are no sockets, such as TLS. A session that says
// little holds little.
func (d *direction) copyPlain() error {
	quiet := make([]byte, quietBuffer)
	for {
		n, err := d.move(quiet)
		if err == nil && n == len(quiet) {
			err = d.bulk()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bulk copies with a buffer of the pool while reads fill it, and gives the buffer back. nil: the next read is a small
// one again.
func (d *direction) bulk() error {
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	for {
		if n, err := d.move(*buf); err != nil || n < bulkRead {
			return err
		}
	}
}

// move makes one read and passes on what it gave. The end of src is io.EOF itself.
func (d *direction) move(buf []byte) (int, error) {
	n, err := d.src.Read(buf)
	if n > 0 {
		if werr := d.write(buf[:n]); werr != nil {
			return n, werr
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.readError(err)
	}
	return n, err
}

func (d *direction) write(b []byte) error {
	n, err := d.dst.Write(b)
	d.count.Add(int64(n))
	if err != nil {
		return d.writeError(err)
	}
	return nil
}

func (d *direction) readError(err error) error {
	return &SideError{Side: d.from, Err: fmt.Errorf("read: %w", err)}
}

func (d *direction) writeError(err error) error {
	to := Client
	if d.from == Client {
		to = Primary
	}
	return &SideError{Side: to, Err: fmt.Errorf("write: %w", err)}
}
