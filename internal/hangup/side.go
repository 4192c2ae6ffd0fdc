package hangup

import (
	"errors"
	"net"
)

// EndSide ends this side of a connection, by FIN, in TLS by close_notify; the peer can go on. What was written before
// arrives before that. The error is errors.ErrUnsupported where a connection can only be closed as a whole.
func EndSide(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
