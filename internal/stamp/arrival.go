//go:build stamps && linux

package stamp

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Arrival holds when bytes came over a connection. One goroutine at a time reads and asks.
type Arrival struct{ a *arrival }

// arrival holds when bytes came over one connection. Only TCP in clear has the kernel's times.
type arrival struct {
	raw      syscall.RawConn
	asked    bool // the kernel was asked for time stamps
	readable int64
	read     int64

	// One call of Read.
	p    []byte
	n    int
	err  error
	oob  [64]byte
	step func(fd uintptr) bool // a.try, made once
}

// NewArrival returns one for a new connection.
func NewArrival() Arrival { return Arrival{new(arrival)} }

// Read reads from the connection.
func (x Arrival) Read(conn net.Conn, p []byte) (int, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !noting.Load() || len(p) == 0 {
		return conn.Read(p)
	}
	a := x.a
	if !a.asked {
		raw, err := tcp.SyscallConn()
		if err != nil {
			return 0, err
		}
		a.raw, a.step, a.asked = raw, a.try, true
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		})
	}
	a.p, a.n, a.err = p, 0, nil
	if err := a.raw.Read(a.step); err != nil {
		return 0, err
	}
	a.read, a.p = time.Now().UnixNano(), nil
	if a.n == 0 && a.err == nil {
		return 0, io.EOF
	}
	return a.n, a.err
}

// try makes one system call; false means to wait until the socket has something.
func (a *arrival) try(fd uintptr) bool {
	for {
		n, oob, _, _, err := unix.Recvmsg(int(fd), a.p, a.oob[:], 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		}
		a.n, a.err, a.readable = max(n, 0), err, timeOf(a.oob[:oob])
		return true
	}
}

// timeOf returns the time in a control message of SO_TIMESTAMPNS; 0: there is none.
func timeOf(oob []byte) int64 {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range all {
		var t unix.Timespec
		ours := m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS
		if ours && len(m.Data) >= int(unsafe.Sizeof(t)) {
			return (*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Nano()
		}
	}
	return 0
}

// Reader returns a reader from the connection.
func (x Arrival) Reader(conn net.Conn) io.Reader { return reader{x, conn} }

type reader struct {
	x    Arrival
	conn net.Conn
}

func (r reader) Read(p []byte) (int, error) { return r.x.Read(r.conn, p) }

// At notes when the last bytes up to position at became readable, and when the last read has read them.
func (x Arrival) At(readable, read Step, w Who, at lsn.LSN) {
	if x.a == nil || x.a.readable == 0 || !noting.Load() {
		return
	}
	note(Record{Step: readable, Who: w.number, At: at, Time: x.a.readable})
	note(Record{Step: read, Who: w.number, At: at, Time: x.a.read})
}
