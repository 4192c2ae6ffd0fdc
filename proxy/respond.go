package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/relay"
)

const (
	// tellTimeout bounds the writing of a last ErrorResponse: it fits the socket's buffer unless the
	// client has stopped reading long ago.
	tellTimeout = 2 * time.Second
	// lingerTimeout and lingerBytes bound the wait for the client's end after a last message. To
	// close a socket with unread bytes makes the kernel send a reset, which can overtake the message.
	lingerTimeout = time.Second
	lingerBytes   = 64 << 10
)

// errTell marks an error that the client has not been told yet.
type errTell struct{ err *pgerror.Error }

func (e *errTell) Error() string { return e.err.Error() }
func (e *errTell) Unwrap() error { return e.err }

// Tell marks err as owed to the client: the server sends it as a FATAL ErrorResponse before it
// closes. The client must stand between two frames. nil stays nil.
func Tell(err error) error {
	if err == nil {
		return nil
	}
	return &errTell{err: pgerror.From(err).AsFatal()}
}

// owed returns the error that is still to be sent to the client of a session that ended with err, or nil.
func owed(err error) *pgerror.Error {
	var tell *errTell
	if errors.As(err, &tell) {
		return tell.err
	}
	var refused *relay.RefusedError
	if errors.As(err, &refused) && !refused.Told {
		return refused.Err
	}
	return nil
}

// respond sends an error as an ErrorResponse, and is the only place that does. It also lets the client read it before
// the socket is closed.
func respond(conn net.Conn, e *pgerror.Error) {
	_ = conn.SetDeadline(time.Now().Add(tellTimeout))
	if _, err := conn.Write(wire.AppendError(nil, e)); err == nil {
		linger(conn)
	}
}

// linger ends the direction to the client and waits, for a moment, until the client has ended its own.
func linger(conn net.Conn) {
	if hangup.EndSide(conn) != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}
