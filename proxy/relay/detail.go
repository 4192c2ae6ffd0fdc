package relay

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

// dialDetail says why a dial failed without saying where to.
func dialDetail(err error) string {
	var dns *net.DNSError
	var file *fs.PathError
	switch {
	case isTimeout(err):
		return "The connection attempt timed out."
	case errors.As(err, &file): // before any server was tried
		return "A file that the proxy needs for the connection cannot be read; the replproxy log names it."
	case errors.As(err, &dns):
		return "The name of the primary's host could not be resolved."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The connection was refused: the server is not running there, or does not listen."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "There is no route to the primary's host."
	case errors.Is(err, fs.ErrNotExist):
		return "The primary's unix socket does not exist: the server is not running there."
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied on the way to the primary."
	}
	return "The connection attempt failed; the replproxy log names the cause."
}
