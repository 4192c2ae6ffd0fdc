package authwatch

import (
	"net"
	"net/netip"
)

// LoopbackTCP reports whether c is a TCP connection whose two ends are loopback addresses. A
// wrapper that hides the addresses of its connection is not.
func LoopbackTCP(c net.Conn) bool {
	return loopback(c.LocalAddr()) && loopback(c.RemoteAddr())
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil {
		return false
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	return ok && ip.Unmap().IsLoopback()
}
