package walreceiver

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket asks about the socket of a connection, and writes to it what it takes at once. The zero socket takes nothing.
type socket struct {
	raw  syscall.RawConn
	step func(fd uintptr) // s.try, made once
	look func(fd uintptr) // s.poll, made once
	fds  [1]unix.PollFd   // of poll, and its answer

	// One call of write.
	b   []byte
	n   int
	err error
}

// open takes the connection; one that is no socket takes nothing.
func (s *socket) open(conn any) {
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			s.raw, s.step, s.look = raw, s.try, s.poll
		}
	}
}

func (s *socket) try(fd uintptr) {
	for {
		n, err := unix.Write(int(fd), s.b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		}
		s.n, s.err = max(n, 0), err
		return
	}
}

// write returns how much of b was written. It does not block, and heeds no deadline. One goroutine at a time calls it.
func (s *socket) write(b []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	s.b, s.n, s.err = b, 0, nil
	if err := s.raw.Control(s.step); err != nil {
		return 0, err
	}
	return s.n, s.err
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
