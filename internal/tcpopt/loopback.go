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

// Host returns an address without its port; "" for [local], a socket in a directory.
func Host(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err == nil:
		return host
	case addr == "[local]":
		return ""
	}
	return addr
}
