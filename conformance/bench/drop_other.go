//go:build !linux

package bench

import (
	"io"
	"net"
)

// drop takes n bytes off a socket.
func drop(c *net.TCPConn, n int) error {
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}
