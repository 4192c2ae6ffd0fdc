package relay

import (
	"errors"
	"net"
	"syscall"

	"github.com/replproxy/replproxy/internal/hangup"
)

// closeWrite ends the direction towards c, while the other one goes on: by FIN, or close_notify. Sessions in a loop do
// it by shutdown (halfclose_linux.go).
func closeWrite(c net.Conn) error {
	if err := hangup.EndSide(c); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil // its end is seen when it is closed
}

func gone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
