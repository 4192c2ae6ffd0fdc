package tcpopt

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// HaveUserTimeout reports whether the system knows UserTimeout.
const HaveUserTimeout = true

// setUserTimeout bounds how long sent data may stay unacknowledged.
func setUserTimeout(c syscall.RawConn, d time.Duration) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err == nil && set != nil {
		err = os.NewSyscallError("setsockopt", set)
	}
	return err
}
