package relay

import (
	"errors"
	"net"
	"syscall"
)

// closeWrite ends the direction towards c, while the other one goes on: by FIN, or close_notify. Sessions in a loop do
// it by shutdown (halfclose_linux.go).
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
