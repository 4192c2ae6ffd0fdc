//go:build !unix

package handshake

import "net"

// bytesWaiting cannot look into a socket here; early bytes are then read as the next packet.
func bytesWaiting(net.Conn) bool { return false }
