package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/stamp"
)

// errSilent marks the failure of an attempt in which the server did not say a single byte.
type errSilent struct{ error }

// Unwrap returns the error of the attempt.
func (e errSilent) Unwrap() error { return e.error }

// Down reports whether err, of an attempt to log in, shows that no server is up there (ruling R33). Either nothing
// came, or the connection was closed without a byte, or it was refused with 57P01, 57P02 or 57P03. Of several servers
// all must be so. One that is there and is not wanted by its role says nothing about the one that is, and one in
// recovery is no primary. A server that has no TLS and is asked in clear next has not answered by that. Any other
// answer, 53300 too, is a live server's: whose role is not known may be the primary.
func Down(err error) bool {
	if !errors.As(err, new(*ConnectError)) {
		return err != nil && silent(err)
	}
	switch e := err.(type) {
	case *ConnectError:
		return e.down()
	case interface{ Unwrap() []error }: // what was said by a server that let us in stands beside
		return !slices.ContainsFunc(e.Unwrap(), func(one error) bool { return !Down(one) })
	}
	return Down(errors.Unwrap(err))
}

// down reports whether every attempt shows that no server is up, but for servers that are passed over by their role. It
// is false if all were passed over, unless one was refused as a standby.
func (e *ConnectError) down() bool {
	down := false
	for _, a := range e.telling() {
		switch {
		case errors.Is(a.Err, ErrStandby):
			down = true
		case isRole(a.Err):
		case !silent(a.Err):
			return false
		default:
			down = true
		}
	}
	return down
}

// silent reports whether the error of one attempt shows that no server is up at its endpoint; see [Down], which asks it
// for each. That is so if nothing was heard in time, or nobody listens. It is so, too, if the server says that it shuts
// down, has crashed or starts (57P01 to 57P03).
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

// ourOwn reports whether this machine has no descriptor, port or memory for the attempt, or the queue of a unix socket
// is full. Neither shows that nobody is there.
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

// Unwrap returns the error of the attempt.
func (e errHeard) Unwrap() error { return e.error }

// listening is a connection that stores the first byte that was read from it, plus one, in first. 0: nothing was read.
type listening struct {
	net.Conn
	arrival stamp.Arrival
	first   *atomic.Int32
}

// Read reads from the connection and notes its first byte.
func (l *listening) Read(b []byte) (int, error) {
	n, err := l.arrival.Read(l.Conn, b)
	if n > 0 && l.first.Load() == 0 {
		l.first.Store(int32(b[0]) + 1)
	}
	return n, err
}
