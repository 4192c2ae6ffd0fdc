package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// DefaultAuthenticationTimeout is PostgreSQL's authentication_timeout.
	DefaultAuthenticationTimeout = time.Minute
	// refuseTimeout bounds the writing of a refusal: a few hundred bytes that fit a socket's buffer.
	refuseTimeout = 2 * time.Second
)

// Options of Accept. The zero value means the defaults, no TLS, and protocol 3.0 in refusals.
type Options struct {
	// TLS is asked once a client wants TLS; nil, or a nil configuration, is a server without it.
	TLS func() *tls.Config
	// AuthenticationTimeout covers the whole startup phase, 0 is the default.
	AuthenticationTimeout time.Duration
	// NewestMinor is named in refusals of other protocol versions.
	NewestMinor uint16
}

// NewestMinor returns the newest minor version of protocol 3 that a server knows, by its server_version_num (facts
// A4); 0 is a server that nothing is known of.
func NewestMinor(serverVersionNum int) uint16 {
	if serverVersionNum >= 180000 {
		return 2
	}
	return 0
}

// RefusedError says that the client was refused and has been told Err over Conn, TLS included.
type RefusedError struct {
	Err  *pgerror.Error
	Conn net.Conn
}

// Error returns the refusal's text and SQLSTATE.
func (e *RefusedError) Error() string { return "refused: " + e.Err.Error() }

// Unwrap returns the *pgerror.Error that the client got.
func (e *RefusedError) Unwrap() error { return e.Err }

// Accept reads the startup phase of conn, which stays the caller's to close whatever happens. It
// blocks until the client has said who it is, the timeout has passed or ctx is done. A refusal has
// been written when Accept returns (*RefusedError); every other error means that nothing was said,
// as PostgreSQL does. Reads are exact: afterwards the request's Conn, which is conn or TLS upon it,
// stands behind the packet, without deadline.
func Accept(ctx context.Context, conn net.Conn, o Options) (*Request, error) {
	timeout := o.AuthenticationTimeout
	if timeout <= 0 {
		timeout = DefaultAuthenticationTimeout
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("set startup deadline: %w", err)
	}
	stop := deadline.By(ctx, conn.SetDeadline)
	a := &acceptor{conn: conn, core: Core{NewestMinor: o.NewestMinor}, tls: o.TLS}
	req, err := a.accept()
	switch {
	case stop():
		return nil, fmt.Errorf("read startup packet: %w", context.Cause(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%w after %s", ErrTimeout, timeout)
	case err != nil:
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear startup deadline: %w", err)
	}
	req.Conn, req.Certificate = a.conn, a.shown
	return req, nil
}

// acceptor is the startup phase of one connection. conn becomes TLS when the client asks for it.
type acceptor struct {
	conn  net.Conn
	core  Core
	tls   func() *tls.Config
	shown []byte // the certificate, once there is TLS
}

func (a *acceptor) accept() (*Request, error) {
	for first := true; ; first = false {
		packet, err := readPacket(a.conn, first)
		if first && errors.Is(err, ErrDirectTLS) {
			if err = a.directTLS(); err == nil {
				packet, err = readPacket(a.conn, false)
			}
		}
		if err != nil {
			return nil, err
		}
		d := a.core.Step(packet)
		switch {
		case d.Accept != nil:
			return d.Accept, nil
		case d.Drop != nil:
			return nil, d.Drop
		case d.Refuse != nil:
			return nil, refuse(a.conn, d.Refuse)
		}
		var config *tls.Config
		if d.SSL {
			config = a.config()
		}
		if config == nil {
			err = sayNo(a.conn, d.Injected)
		} else {
			err = a.switchToTLS(config, d.Injected)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readPacket reads one packet and no byte more. The first byte is read alone, so that a TLS record is known at once,
// whatever follows it: [ErrDirectTLS], of the first packet alone.
func readPacket(conn net.Conn, first bool) ([]byte, error) {
	var word [lengthSize]byte
	if _, err := io.ReadFull(conn, word[:1]); err != nil {
		return nil, silent(fmt.Errorf("read startup packet: %w", err))
	}
	if first && word[0] == tlsHandshake {
		return nil, ErrDirectTLS
	}
	if _, err := io.ReadFull(conn, word[1:]); err != nil {
		return nil, incomplete(err)
	}
	n, err := bodyLength(word[:])
	if err != nil {
		return nil, err
	}
	packet := make([]byte, lengthSize+n)
	copy(packet, word[:])
	if _, err := io.ReadFull(conn, packet[lengthSize:]); err != nil {
		return nil, incomplete(err)
	}
	return packet, nil
}

// sayNo refuses encryption. Bytes that already wait behind the request were sent before the client
// could know the answer: PostgreSQL ends such a connection, 'N' or not (tried on 15).
func sayNo(conn net.Conn, injected *pgerror.Error) error {
	early := bytesWaiting(conn)
	if _, err := conn.Write([]byte{'N'}); err != nil {
		return silent(fmt.Errorf("answer encryption request: %w", err))
	}
	if early {
		return refuse(conn, &Refusal{Err: injected})
	}
	return nil
}

func refuse(conn net.Conn, r *Refusal) error {
	_ = conn.SetWriteDeadline(time.Now().Add(refuseTimeout))
	// The client may be gone; the refusal is what counts.
	_, _ = conn.Write(r.append(nil))
	return &RefusedError{Err: r.Err, Conn: conn}
}

// append returns the refusal on the wire.
func (r *Refusal) append(b []byte) []byte {
	if r.V2 {
		b = append(b, 'E')
		b = append(b, string(r.Err.Severity)+":  "+r.Err.Message+"\n"...)
		return append(b, 0)
	}
	if n := r.Negotiate; n != nil {
		b = n.Append(b)
	}
	return wire.AppendError(b, r.Err)
}

// silent turns the error of a peer that left between two packets, by FIN or by RST, into ErrNoData. Health checks
// leave so, and clients that do not like the answer to their request for encryption. PostgreSQL says nothing about
// them either.
func silent(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return ErrNoData
	}
	return err
}

func incomplete(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrIncomplete
	}
	return fmt.Errorf("read startup packet: %w", err)
}
