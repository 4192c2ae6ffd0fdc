package crowd

import (
	"net"
	"net/netip"
)

// ipv6Net is the prefix of one IPv6 subscriber's network, in bits.
const ipv6Net = 64

// Origin returns the address that the limits count as one peer: one of IPv4, or a network of IPv6. An address that is
// not TCP's gives the zero prefix, which is not valid: all peers of unix sockets are one.
func Origin(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = ipv6Net
	}
	p, _ := ip.Prefix(bits)
	return p
}
