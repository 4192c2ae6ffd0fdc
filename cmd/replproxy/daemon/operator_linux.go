package daemon

import (
	"net"

	"golang.org/x/sys/unix"
)

// operatorOf asks the kernel who has connected.
func operatorOf(c net.Conn) operator {
	who := operator{-1, -1}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return who
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) { // what it does not say stays unknown
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = operator{int64(cred.Uid), int64(cred.Pid)}
		}
	})
	return who
}
