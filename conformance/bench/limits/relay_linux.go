package limits

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of a loop: descriptors there may be, events taken at once, bytes read at once.
const (
	descriptors = 1 << 16
	eventsOnce  = 64
	readOnce    = 64 << 10
)

// Relay passes bytes between clients of one port and a server, in loops of one thread each. A connection stays with its
// loop. A thread waits within epoll_wait, unknown to Go's scheduler: nobody is woken but by the kernel.
func Relay(listen, server netip.AddrPort, loops int) error {
	debug.SetGCPercent(-1) // a collection would wait for the threads in epoll_wait
	runtime.GOMAXPROCS(loops + 2)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, address(listen))
	}
	if err == nil {
		err = unix.Listen(fd, eventsOnce)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	all := make([]*loop, loops)
	for i := range all {
		if all[i], err = newLoop(); err != nil {
			return err
		}
		go all[i].run()
	}
	for i := 0; ; i++ {
		client, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err := all[i%loops].join(client, server); err != nil {
			_ = unix.Close(client)
		}
	}
}

func address(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// end is one socket of a relayed connection.
type end struct {
	fd      int
	peer    *end
	pending []byte // for this socket, which had no room
}

// loop relays the connections of one thread.
type loop struct {
	ep   int
	ends []atomic.Pointer[end] // by descriptor
	buf  []byte
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &loop{ep: ep, ends: make([]atomic.Pointer[end], descriptors), buf: make([]byte, readOnce)}, err
}

// join connects to the server and adds both sockets.
func (l *loop) join(client int, server netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, address(server)); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	a, b := &end{fd: client}, &end{fd: fd}
	a.peer, b.peer = b, a
	for _, e := range []*end{a, b} {
		if err := unix.SetNonblock(e.fd, true); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(e.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		l.ends[e.fd].Store(e)
	}
	return errors.Join(l.watch(a, unix.EPOLL_CTL_ADD), l.watch(b, unix.EPOLL_CTL_ADD))
}

// watch waits for bytes of an end whose peer has room, and for room where bytes are pending.
func (l *loop) watch(e *end, op int) error {
	var events uint32
	if len(e.peer.pending) == 0 {
		events = unix.EPOLLIN
	}
	if len(e.pending) > 0 {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(l.ep, op, e.fd, &unix.EpollEvent{Events: events, Fd: int32(e.fd)})
}

func (l *loop) run() {
	runtime.LockOSThread()
	var events [eventsOnce]unix.EpollEvent
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.ep), uintptr(unsafe.Pointer(&events[0])),
			eventsOnce, ^uintptr(0), 0, 0)
		if errno != 0 {
			continue // EINTR
		}
		for _, ev := range events[:n] {
			e := l.ends[ev.Fd].Load()
			if e == nil {
				continue // its peer has ended
			}
			if ev.Events&unix.EPOLLOUT != 0 {
				l.write(e, e.pending)
			} else {
				l.read(e)
			}
		}
	}
}

// read passes on the bytes that are there, at most one buffer.
func (l *loop) read(e *end) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(e.fd), uintptr(unsafe.Pointer(&l.buf[0])), readOnce)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0 || n == 0:
		l.leave(e)
	default:
		l.write(e.peer, l.buf[:n])
	}
}

// write writes to an end, and keeps what it has no room for.
func (l *loop) write(e *end, b []byte) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(e.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		l.leave(e)
		return
	}
	if errno != 0 {
		n = 0
	}
	had := len(e.pending) > 0
	e.pending = slices.Clone(b[n:])
	if had || len(e.pending) > 0 {
		_, _ = l.watch(e, unix.EPOLL_CTL_MOD), l.watch(e.peer, unix.EPOLL_CTL_MOD)
	}
}

// leave closes both ends.
func (l *loop) leave(e *end) {
	for _, x := range []*end{e, e.peer} {
		l.ends[x.fd].Store(nil)
		_ = unix.Close(x.fd)
	}
}
