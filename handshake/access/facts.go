package access

import (
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/replproxy/replproxy/handshake"
)

// FactsOf returns the facts about a request that is no cancel request.
func FactsOf(r *handshake.Request) Facts {
	_, secure := r.Conn.(*tls.Conn)
	f := Facts{
		Physical: r.Class == handshake.PhysicalWalsender, User: r.User(), Database: r.Database(),
		TLS: secure, Networks: networks,
	}
	if a, ok := r.Conn.RemoteAddr().(*net.TCPAddr); ok {
		// A listener on all addresses sees IPv4 clients as ::ffff:10.1.2.3.
		f.Client = a.AddrPort().Addr().Unmap()
	}
	return f
}

// networks returns the addresses of this machine's interfaces. On an error there are none, so that nobody matches.
func networks() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []netip.Prefix
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		ones, _ := n.Mask.Size()
		if !ok {
			continue
		}
		if ip = ip.Unmap(); ip.Is4() && len(n.Mask) == net.IPv6len {
			ones -= 96
		}
		all = append(all, netip.PrefixFrom(ip, ones))
	}
	return all
}
