package handshake

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ALPN is the protocol's name in TLS: direct TLS must name it (facts A1).
const ALPN = "postgresql"

// clearBuffer is the server's own read buffer: what it takes of a client in clear, and with it the
// most that is thrown away here before the switch.
const clearBuffer = 8192

// config returns the TLS configuration for this connection, nil for none: a unix socket has no TLS, nor has TLS
// another one inside.
func (a *acceptor) config() *tls.Config {
	_, secure := a.conn.(*tls.Conn)
	if a.tls == nil || secure || a.conn.LocalAddr().Network() == "unix" {
		return nil
	}
	return a.tls()
}

// switchToTLS answers 'S' and goes on within TLS. What the client had sent in clear behind its request
// may be somebody else's: it is thrown away, and the client is refused once it can be told safely.
func (a *acceptor) switchToTLS(config *tls.Config, injected *pgerror.Error) error {
	a.core.Secured()
	early := bytesWaiting(a.conn)
	if early {
		if _, err := a.conn.Read(make([]byte, clearBuffer)); err != nil {
			return incomplete(err)
		}
	}
	if _, err := a.conn.Write([]byte{'S'}); err != nil {
		return silent(fmt.Errorf("answer encryption request: %w", err))
	}
	if err := a.handshake(a.conn, config); err != nil {
		return silent(err)
	}
	if early {
		return refuse(a.conn, &Refusal{Err: injected})
	}
	return nil
}

// directTLS runs the handshake with a client whose first byte, which has been read, began a TLS record. [ErrDirectTLS]:
// there is no TLS here. [ErrNoALPN]: the client did not name the protocol.
func (a *acceptor) directTLS() error {
	config := a.config()
	if config == nil {
		return ErrDirectTLS
	}
	if err := a.handshake(&begun{Conn: a.conn, first: []byte{tlsHandshake}}, config); err != nil {
		return err
	}
	if a.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != ALPN {
		return ErrNoALPN
	}
	return nil
}

// handshake makes conn a TLS connection, which a.conn is from then on. It blocks for the client, until the startup
// phase's deadline at most.
func (a *acceptor) handshake(conn net.Conn, config *tls.Config) error {
	secure := tls.Server(conn, config)
	if err := secure.Handshake(); err != nil {
		return fmt.Errorf("could not accept SSL connection: %w", err)
	}
	a.conn = secure
	if len(config.Certificates) > 0 {
		a.shown = config.Certificates[0].Certificate[0]
	}
	return nil
}

// begun is a connection of which the first bytes have been read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
