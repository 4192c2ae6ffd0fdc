package walsender

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// fileWriter sends one frame whose body lies in a file, without bringing the bytes into this process. The header goes
// with MSG_MORE, so that it shares a packet with the data. sendfile uses an explicit offset, so that senders may share
// the file. The zero value is not usable.
type fileWriter struct {
	raw  syscall.RawConn // nil: the connection is no socket
	step func(fd uintptr) bool

	head   []byte // rest of the header
	file   *os.File
	offset int64
	rest   int
	total  int
	err    error
}

func (w *fileWriter) init(conn net.Conn) {
	switch c := conn.(type) {
	case *net.TCPConn:
		w.raw, _ = c.SyscallConn()
	case *net.UnixConn:
		w.raw, _ = c.SyscallConn()
	}
	w.step = w.try // once: a method value per call would allocate
}

// begin prepares to send c after head; false when connection or file cannot be used so.
func (w *fileWriter) begin(head []byte, c *walstore.Chunk) bool {
	file, ok := c.OSFile()
	if !ok || w.raw == nil {
		return false
	}
	w.head, w.file, w.offset, w.rest, w.err = head, file, c.FileOffset, c.Len(), nil
	w.total = len(head) + w.rest
	return true
}

func (w *fileWriter) finished() bool { return len(w.head)+w.rest == 0 }

// started reports whether a byte of the frame is out.
func (w *fileWriter) started() bool { return len(w.head)+w.rest < w.total }

// write goes on until the frame is out, the deadline passes or the connection fails.
func (w *fileWriter) write() error {
	if err := w.raw.Write(w.step); err != nil {
		return err
	}
	return w.err
}

// try writes as much as the socket takes; false means to wait until it takes more.
func (w *fileWriter) try(fd uintptr) bool {
	for !w.finished() {
		switch err := w.once(int(fd)); {
		case err == nil, errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		default:
			w.err = err
			return true
		}
	}
	return true
}

// once makes one system call, which takes as much as the socket has room for. EAGAIN: it has none.
func (w *fileWriter) once(fd int) error {
	if len(w.head) > 0 {
		n, err := unix.SendmsgN(fd, w.head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
		if err == nil {
			w.head = w.head[n:]
		}
		return err
	}
	n, err := unix.Sendfile(fd, int(w.file.Fd()), &w.offset, w.rest)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("read WAL in %s at offset %d: %w", w.file.Name(), w.offset, io.ErrUnexpectedEOF)
	}
	w.rest -= n
	return nil
}
