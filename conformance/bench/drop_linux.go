package bench

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// drop takes n bytes off a socket without copying them: MSG_TRUNC of TCP.
func drop(c *net.TCPConn, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for n > 0 {
			got, errno := discard(int(fd), n)
			switch {
			case errno == unix.EINTR:
			case errno == unix.EAGAIN:
				return false
			case errno != 0:
				failed = errno
				return true
			case got == 0:
				failed = io.ErrUnexpectedEOF
				return true
			default:
				n -= got
			}
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// discard receives at most n bytes nowhere.
func discard(fd, n int) (int, unix.Errno) {
	got, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(n), unix.MSG_TRUNC, 0, 0)
	return int(got), errno
}
