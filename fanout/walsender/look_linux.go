package walsender

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// lookAt asks the kernel how far a connection's socket has got. It does not block.
func lookAt(conn net.Conn) (l look) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return look{}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return look{}
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			l = look{received: info.Bytes_received, acked: info.Bytes_acked, unsent: info.Notsent_bytes}
		}
	})
	return l
}
