package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
)

// RawConn is a connection on which nothing has been said yet, except TLS where sslmode asks for it.
// Conn is the *net.TCPConn or *net.UnixConn itself when TLS is false.
type RawConn struct {
	net.Conn
	TLS      bool
	Endpoint Endpoint // with the address reached
}

var errNoTLS = errors.New("server does not support TLS, but sslmode requires it")

// DialRaw connects for a client that is going to log in through the connection itself. The endpoint
// that the walreceiver streams from comes first. The server's role can't be known before the log-in,
// so without a current endpoint the first host that answers is taken. With sslmode=allow the
// connection is plain. Each endpoint gets [Config.ConnectTimeout]. The error is a *[ConnectError].
func (c *Config) DialRaw(ctx context.Context) (*RawConn, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	return r.dialRaw(ctx)
}

func (r *reading) dialRaw(ctx context.Context) (*RawConn, error) {
	failed := &ConnectError{}
	var rc *RawConn
	r.eachAddress(ctx, r.order(), failed, failed.unreachable, func(e Endpoint) (bool, error) {
		var err error
		rc, err = r.dial.open(ctx, e, r.timeout)
		return err == nil, err
	})
	if rc == nil {
		return nil, failed
	}
	return rc, nil
}

// errDial marks failures below TLS: the same address need not be tried again without it.
type errDial struct{ error }

func (e errDial) Unwrap() error { return e.error }

func (e *ConnectError) unreachable(next Endpoint) bool {
	_, want := next.target()
	for _, a := range e.Attempts {
		var dial errDial
		if _, have := a.Endpoint.target(); have == want && errors.As(a.Err, &dial) {
			return true
		}
	}
	return false
}

// open connects to one endpoint and negotiates TLS where it asks for it, all within timeout; of 0 or less nothing is
// tried. The caller closes the connection.
func (d dialer) open(ctx context.Context, e Endpoint, timeout time.Duration) (*RawConn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	network, address := e.target()
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, errDial{plainReason(err)}
	}
	e = e.reached(conn)
	if e.tls == nil {
		return &RawConn{Conn: conn, Endpoint: e}, nil
	}
	secure, err := startTLS(ctx, conn, e)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("negotiate TLS: %w", err)
	}
	if secure == nil { // the server has none and sslmode lets that pass
		e.tls = nil
		return &RawConn{Conn: conn, Endpoint: e}, nil
	}
	return &RawConn{Conn: secure, TLS: true, Endpoint: e}, nil
}

// plainReason returns the innermost text of a dial error: the address stands beside it already.
func plainReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// startTLS gives nil, nil when the server has no TLS and the endpoint may go on without. Exactly one
// byte is read in the clear: what follows it belongs to the TLS handshake, so a server (or somebody in
// between) cannot smuggle plain text behind its answer.
func startTLS(ctx context.Context, conn net.Conn, e Endpoint) (*tls.Conn, error) {
	stop := deadline.By(ctx, conn.SetDeadline)
	defer stop()
	if !e.direct {
		answer, err := askTLS(conn)
		switch {
		case err != nil:
			return nil, err
		case answer == 'N' && e.plainNext:
			if stop() {
				return nil, context.Cause(ctx)
			}
			return nil, nil
		case answer == 'N':
			return nil, errNoTLS
		case answer != 'S':
			return nil, fmt.Errorf("server answered SSLRequest with %q", answer)
		}
	}
	secure := tls.Client(conn, serverAuthOnly(e.tlsConfig()))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if stop() {
		return nil, context.Cause(ctx)
	}
	return secure, nil
}

// askTLS sends SSLRequest (length 8, code 80877103) and reads the one-byte answer, whatever it is. It blocks until
// conn's deadline.
func askTLS(conn net.Conn) (byte, error) {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return 0, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return 0, err
	}
	return answer[0], nil
}

// serverAuthOnly returns cfg without anything that would identify us: the client's own log-in must not ride on the
// proxy's certificate (ruling R1).
func serverAuthOnly(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.Certificates = nil
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return new(tls.Certificate), nil
	}
	cfg.ClientSessionCache = nil
	return cfg
}
