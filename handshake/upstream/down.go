package upstream

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errSilent marks the failure of an attempt in which the server did not say a single byte.
type errSilent struct{ error }

// Unwrap is the failure.
func (e errSilent) Unwrap() error { return e.error }

// Down reports whether err, of an attempt to log in, says that no server answered as one that is up (ruling R33):
// nothing came, the connection was closed without a byte, or it refused with 57P01, 57P02 or 57P03. Of several servers
// all must be so; one that is there and is not wanted by its role says nothing about the one that is. Any other
// answer, 53300 too, is a live server's.
func Down(err error) bool {
	var all *ConnectError
	if errors.As(err, &all) {
		down := false
		for _, a := range all.Attempts {
			switch {
			case isRole(a.Err):
			case !silent(a.Err):
				return false
			default:
				down = true
			}
		}
		return down
	}
	return err != nil && silent(err)
}

// silent is Down of one attempt.
func silent(err error) bool {
	var refusal *pgerror.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case pgerror.AdminShutdown, pgerror.CrashShutdown, pgerror.CannotConnectNow:
			return true
		}
		return false
	}
	if ourOwn(err) || errors.As(err, new(errHeard)) {
		return false
	}
	return errors.As(err, new(errSilent)) || errors.As(err, new(errDial)) || errors.Is(err, ErrLate) ||
		errors.Is(err, context.DeadlineExceeded)
}

// ourOwn reports whether it is we who have no descriptor, port or memory for the attempt, or a unix socket's queue of
// connections that is full: neither says that nobody is there.
func ourOwn(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errHeard marks the failure of an attempt in which the server had begun to answer.
type errHeard struct{ error }

// Unwrap is the failure.
func (e errHeard) Unwrap() error { return e.error }

// listening notes whether anything came over a connection.
type listening struct {
	net.Conn
	heard *atomic.Bool
}

// Read reads.
func (l *listening) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 && !l.heard.Load() {
		l.heard.Store(true)
	}
	return n, err
}
