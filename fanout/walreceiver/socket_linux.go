package walreceiver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// socket asks about the socket of a connection. The zero socket knows nothing.
type socket struct {
	raw  syscall.RawConn
	look func(fd uintptr) // s.poll, made once
	fds  [1]unix.PollFd   // of poll, and its answer
}

// open takes the connection; one that has no socket is not known.
func (s *socket) open(conn any) {
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			s.raw, s.look = raw, s.poll
		}
	}
}

func (s *socket) poll(fd uintptr) {
	s.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	if n, err := unix.Poll(s.fds[:], 0); err != nil || n == 0 {
		s.fds[0].Revents = 0
	}
}

// writable reports whether a small message fits into the socket's buffer: the kernel says so when a third of that is
// free. It does not block. One goroutine at a time calls it.
func (s *socket) writable() bool {
	return s.raw != nil && s.raw.Control(s.look) == nil && s.fds[0].Revents == unix.POLLOUT
}
