package tcpopt

import (
	"net"
	"strings"
)

// LoopbackOnly reports whether nobody outside this machine can connect to any of the addresses. Those of sockets in a
// directory begin with unix:.
func LoopbackOnly(addresses []string) bool {
	for _, a := range addresses {
		if strings.HasPrefix(a, "unix:") {
			continue
		}
		host, _, err := net.SplitHostPort(a)
		if err != nil || host != "localhost" && !isLoopback(host) {
			return false
		}
	}
	return true
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
