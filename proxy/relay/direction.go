package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// copyBuffer holds what one read takes from a socket: twice libpq's and the server's own 8 kB
// buffers, so that ordinary messages pass in one read and one write.
const copyBuffer = 16 << 10

// direction copies from src to dst and passes the end on.
type direction struct {
	src, dst net.Conn
	from     Side // whose connection src is
	count    *atomic.Int64
}

// begin passes on what the log-in read ahead of src.
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
	if err := closeWrite(d.dst); err != nil && !gone(err) {
		return d.writeError(err)
	}
	return nil
}

// copyPlain copies through memory: connections that are no sockets, such as TLS.
func (d *direction) copyPlain() error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := d.src.Read(buf)
		if n > 0 {
			if werr := d.write(buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.readError(err)
		}
	}
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

// closeWrite ends the direction towards c: FIN, or close_notify.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
